"""TOML of tenants: the standard library's, but for what would take it quadratic time."""

from __future__ import annotations

import time
import tomllib

import pytest

from stackyn_server.buildplan.formats.toml import parse_toml


@pytest.mark.parametrize(
    "text",
    [
        'a.b.c = 1\n[d."e.f"]\ng = "1.2.3.4"',
        f"dots = '{'.' * 500}'",
        "versions = [" + ", ".join(f"'a>=1.{number}.3'" for number in range(300)) + "]",
        ".".join(["a"] * 60) + " = 1",
    ],
)
def test_documents_are_parsed_as_by_the_standard_library(text: str) -> None:
    assert parse_toml(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text", ["a." * 500_000, "[" + "a." * 500_000, '"a" . ' * 300_000, f"x = {{{'a.' * 500_000}b = 1}}"]
)
def test_endless_keys_are_refused_in_time(text: str) -> None:
    began_at = time.process_time()
    with pytest.raises(tomllib.TOMLDecodeError, match="64 parts"):
        parse_toml(text)
    assert time.process_time() - began_at < 2
