"""Property-based requests made from the published description: no 5xx, no undocumented status, no answer outside it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config

BOUNDLESS = config.Rates(
    authentication_per_address="1000000/minute",
    authentication_per_account="1000000/minute",
    write_per_user="1000000/minute",
    read_per_user="1000000/minute",
)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Streams end when their reader goes, and a fuzzer reads to the end; the socket is no HTTP answer; signing out would end
# the run's own session; without a Firebase project, its three endpoints answer 503 by design.
LEFT_OUT = "/stream$|^/ws/|logout|/signup/|verify-token"


@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(4, marks=pytest.mark.timeout(400)),
        pytest.param(100, marks=[pytest.mark.full, pytest.mark.timeout(1800)]),
    ],
)
@pytest.mark.parametrize("who", ["nobody", "somebody"])
async def test_nothing_that_is_sent_breaks_the_description(
    launch: Callable[..., Any], tmp_path: Path, who: str, examples: int
) -> None:
    platform = await launch(rates=BOUNDLESS)
    person = await platform.person(is_admin=True)
    app = await person.new_app()
    assert app
    arguments = [
        "run", str(platform.client.make_url("/openapi.json")), "--checks", CHECKS,
        "--phases", "examples,coverage,fuzzing",
        "--max-examples", str(examples), "--exclude-path-regex", LEFT_OUT, "--seed", "1", "--no-color",
    ]  # fmt: skip
    if who == "somebody":
        arguments += ["--header", f"Authorization: Bearer {person.token}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", *arguments,
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-8000:]
