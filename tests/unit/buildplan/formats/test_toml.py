"""TOML of tenants: the standard library's, but for what would take it quadratic time."""

from __future__ import annotations

import tomllib

import pytest

from stackyn_server.buildplan.formats.toml import parse_toml
from tests.patience import patient, processor_seconds

ENDLESS_KEYS = ("a." * 500_000, "[" + "a." * 500_000, '"a" . ' * 300_000, f"x = {{{'a.' * 500_000}b = 1}}")


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


@pytest.mark.parametrize("text", ENDLESS_KEYS)
def test_endless_keys_are_refused_in_linear_time(text: str) -> None:
    """The limit ends a reader of quadratic time; `tests/bench/buildplan` asserts the seconds."""
    assert processor_seconds(lambda: refuse_endless_key(text)) < patient(20)


def refuse_endless_key(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError, match="64 parts"):
        parse_toml(text)
