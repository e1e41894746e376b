"""Pieces of log text becoming clean lines and chunks."""

from __future__ import annotations

from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.journal.stream import CHUNK_BYTES, Stream
from stackyn_server.security.redaction import redact

ROOM = 1_000_000
LIMIT_SENTENCE = "the rest is not kept"


def a_stream(limit: int | None = None, stored: int = 0) -> Stream:
    return Stream((AppId(1), DeploymentId(1), "build"), redact, limit, stored)


def text_of(stream: Stream) -> str:
    return "".join(stream.take_chunks())


def test_a_line_appears_once_it_has_ended() -> None:
    stream = a_stream()
    stream.feed("Step 1", ROOM)
    assert text_of(stream) == ""
    stream.feed("/2\nStep 2", ROOM)
    assert text_of(stream) == "Step 1/2\n"
    stream.end_line(ROOM)
    assert text_of(stream) == "Step 2\n"


def test_colours_go_and_a_repainted_line_keeps_its_last_state() -> None:
    stream = a_stream()
    stream.feed("\x1b[32mdone\x1b[0m\r\n10%\r55%\r100%\nend\x00\n", ROOM)
    assert text_of(stream) == "done\n100%\nend\n"


def test_a_secret_split_over_two_pieces_is_redacted() -> None:
    stream = a_stream()
    stream.feed("clone https://user:pass", ROOM)
    stream.feed("word@git.example.test/a.git\n", ROOM)
    assert text_of(stream) == "clone https://***@git.example.test/a.git\n"


def test_text_that_utf8_can_not_hold_is_replaced() -> None:
    stream = a_stream()
    stream.feed("half \ud83d of a pair\n", ROOM)
    assert text_of(stream) == "half \ufffd of a pair\n"


def test_chunks_are_whole_lines_of_a_bounded_size() -> None:
    stream = a_stream()
    stream.feed("x" * 999 + "\n", ROOM)
    for _ in range(99):
        stream.feed("y" * 999 + "\n", ROOM)
    chunks = stream.take_chunks()
    assert sum(map(len, chunks)) == 100_000
    assert all(chunk.endswith("\n") and len(chunk) <= CHUNK_BYTES for chunk in chunks)
    assert len(chunks) == 7


def test_a_log_ends_exactly_at_its_limit_with_one_sentence() -> None:
    stream = a_stream(limit=25)
    stream.feed("0123456789\n" * 5, ROOM)
    text = text_of(stream)
    assert text.startswith("0123456789\n0123456789\n012\n[This log has reached its limit")
    stream.feed("more\n", ROOM)
    assert text_of(stream) == ""
    assert text.count(LIMIT_SENTENCE) == 1


def test_a_log_that_was_full_before_a_restart_says_nothing_more() -> None:
    stream = a_stream(limit=25, stored=80)
    stream.feed("more\n", ROOM)
    assert text_of(stream) == ""


def test_lines_without_room_are_counted_in_their_place() -> None:
    stream = a_stream()
    kept = stream.feed("kept\n", 8)
    kept += stream.feed("left out\n", 8 - kept)
    kept += stream.feed("no\n", 8 - kept)
    assert kept == stream.pending_bytes == 5
    assert text_of(stream) == (
        "kept\n[2 lines are missing here: they came faster than they could be stored.]\n"
    )
    stream.feed("again\n", 8)
    assert text_of(stream) == "again\n"
