"""What becomes of text that PostgreSQL would refuse."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.domain.text import MOST_LEVELS, is_storable, storable, storable_json

ANYTHING = st.text(alphabet=st.characters())  # half characters and NUL among them


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain", "plain"),
        ("F\x00R\x00", "F\ufffdR\ufffd"),
        ("caf\udce9", "caf\ufffd"),
        ("\ud83d and \ude00", "\ufffd and \ufffd"),
        ("😀 ü\n\t\x1b[0m", "😀 ü\n\t\x1b[0m"),
    ],
)
def test_only_what_is_refused_is_replaced(text: str, kept: str) -> None:
    assert storable(text) == kept
    assert is_storable(text) == (text == kept)


@given(ANYTHING)
def test_any_text_becomes_storable(text: str) -> None:
    assert is_storable(storable(text))


@given(ANYTHING, st.integers(min_value=0, max_value=200))
def test_a_long_text_is_cut_to_its_bytes(text: str, most: int) -> None:
    cut = storable(text * 20, most)
    assert is_storable(cut)
    assert len(cut.encode()) <= max(most, len("\n[999999 bytes are left out here.]\n"))


def test_a_cut_text_keeps_both_of_its_ends() -> None:
    cut = storable("begin " + "x" * 10_000 + " end", 200)
    assert cut.startswith("begin ") and cut.endswith(" end")
    assert "bytes are left out here." in cut


def nested(levels: int) -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"a\x00": ["b\ud800", 1, True, None]}, {"a\ufffd": ["b\ufffd", 1, True, None]}),
        ([math.inf, -math.inf, 1.5], [None, None, 1.5]),
        (("a", "b"), ["a", "b"]),
        (nested(MOST_LEVELS), nested(MOST_LEVELS)),
    ],
)
def test_json_is_storable_at_every_depth(value: Any, kept: Any) -> None:
    assert storable_json(value) == kept


def test_json_without_an_end_is_cut_off() -> None:
    assert len(json.dumps(storable_json(nested(100_000)))) < 1000


def test_a_failure_is_bounded_whatever_it_names() -> None:
    failure = Failure(FailureCode.BUILD_FAILED, "m" * 10**6, "h\x00" * 10**6, "e\udcff" * 10**6)
    fields = failure.as_json("building")
    assert sum(len(text.encode()) for text in fields.values()) < 80_000
    assert all(map(is_storable, fields.values()))
