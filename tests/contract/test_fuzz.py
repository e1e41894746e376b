"""Property-based requests made from the published description: no 5xx, no undocumented status, no answer outside it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config
from tests import firebase
from tests.contract import fuzz_hooks
from tests.contract.conftest import Person, Platform

BOUNDLESS = config.RatesSettings(
    authentication_per_address="1000000/minute",
    authentication_per_account="1000000/minute",
    write_per_user="1000000/minute",
    read_per_user="1000000/minute",
)
HOOKS = Path(fuzz_hooks.__file__)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
STREAMS = "/stream$"

EXAMPLES = pytest.mark.parametrize(
    "examples",
    [
        pytest.param(4, marks=pytest.mark.timeout(400)),
        pytest.param(100, marks=[pytest.mark.full, pytest.mark.timeout(1800)]),
    ],
)


async def fuzz(platform: Platform, folder: Path, person: Person, examples: int, *paths: str) -> None:
    """Send `examples` requests to each operation, or to those on the `paths` alone, in the name of `person`."""
    address = str(platform.client.make_url("")).rstrip("/")
    arguments = [
        "run", f"{address}/openapi.json", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
        "--max-examples", str(examples), "--seed", "1", "--no-color", *paths,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", *arguments,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS), fuzz_hooks.ADDRESS: address,
             fuzz_hooks.TOKEN: person.token or ""},
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-8000:]
    if person.token:
        assert (await person.get("/api/user/me")).status == 200, "the caller was signed out on the way"


@EXAMPLES
@pytest.mark.parametrize("who", ["nobody", "somebody"])
async def test_nothing_that_is_sent_breaks_the_description(
    launch: Callable[..., Any], tmp_path: Path, who: str, examples: int
) -> None:
    async with firebase.served() as (_, identity_service):
        platform = await launch(
            rates=BOUNDLESS, auth=config.AuthSettings(firebase=config.FirebaseSettings(**identity_service))
        )
        person = await platform.person(is_admin=True)
        await person.new_app()
        caller = person if who == "somebody" else platform.nobody
        await fuzz(platform, tmp_path, caller, examples, "--exclude-path-regex", STREAMS)


@EXAMPLES
async def test_no_stream_breaks_the_description(
    launch: Callable[..., Any], tmp_path: Path, examples: int
) -> None:
    """Alone, where every deployment has ended and none begins: a fuzzer reads each answer to its end."""
    platform = await launch(rates=BOUNDLESS)
    person = await platform.person(is_admin=True)
    app = await person.new_app()
    assert (await person.post(f"/api/v1/apps/{app}/stop")).status == 200
    await fuzz(platform, tmp_path, person, examples, "--include-path-regex", STREAMS)
