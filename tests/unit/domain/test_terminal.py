"""Build output as a person wants to read it."""

from __future__ import annotations

import pytest

from stackyn_server.domain.terminal import LONGEST_LINE, Lines, clean


@pytest.mark.parametrize(
    ("raw", "readable"),
    [
        ("\x1b[32mgreen\x1b[0m text", "green text"),
        ("\x1b[1;38;5;208mcolour\x1b[m", "colour"),
        ("\x1b]0;window title\x07shown", "shown"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("10%\r50%\r100%", "100%"),
        ("done\r", "done"),
        ("\x1b[2K\x1b[1Grepainted", "repainted"),
        ("bell\x07 and back\x08space", "bell and backspace"),
        ("tab\tstays, ümlaut too", "tab\tstays, ümlaut too"),
        ("c1 \x9b31m control", "c1 31m control"),
    ],
)
def test_a_line_looks_as_it_would_in_the_end_on_a_terminal(raw: str, readable: str) -> None:
    assert clean(raw) == readable


def test_pieces_become_lines() -> None:
    lines = Lines()

    assert lines.feed("one\ntw") == ["one"]
    assert lines.feed("o\r\n\nthr") == ["two", ""]
    assert lines.rest() == ["thr"]
    assert lines.rest() == []


def test_a_line_without_end_comes_out_in_pieces() -> None:
    lines = Lines()

    pieces = [line for _ in range(10) for line in lines.feed("x" * 4096)]

    assert pieces and all(len(line) <= LONGEST_LINE + 4096 for line in pieces)
    assert len("".join(pieces)) + len("".join(lines.rest())) == 10 * 4096


def test_a_progress_bar_without_line_ends_does_not_grow() -> None:
    lines = Lines()

    for number in range(10_000):
        assert lines.feed(f"\r{number} of 10000") == []

    assert lines.rest() == ["9999 of 10000"]
