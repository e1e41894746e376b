"""SQL files split into named blocks."""

from __future__ import annotations

import pytest

from stackyn_server.store.queries import Queries, load, parse


def test_blocks_are_attributes_with_their_comments() -> None:
    queries = Queries(
        "x", parse("-- what it is\n\n-- name: one\nSELECT 1 -- first\n\n-- name: two\nSELECT 2\n", "x")
    )
    assert (queries.one, queries.two) == ("SELECT 1 -- first", "SELECT 2")
    assert dir(queries) == ["one", "two"]


def test_an_unknown_block_names_file_and_block() -> None:
    with pytest.raises(AttributeError, match=r"sql/migrator\.sql has no block named 'nonsense'"):
        _ = load("migrator").nonsense


@pytest.mark.parametrize(
    "text",
    [
        "-- name: one\nSELECT 1\n-- name: one\nSELECT 2",
        "-- name: one\n-- name: two\nSELECT 2",
        "-- name: two-words\nSELECT 1",
        "SELECT 0\n-- name: one\nSELECT 1",
    ],
    ids=["doubled", "empty", "not an identifier", "before the first block"],
)
def test_a_careless_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"sql/careless\.sql"):
        parse(text, "careless")
