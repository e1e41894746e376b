"""What is kept of a log that may be endless and hostile, and which lines of it are shown."""

from __future__ import annotations

import re

import pytest

from stackyn_server.diagnosis.diagnose import EVIDENCE_LINES, KINDS, diagnose, error_excerpt
from stackyn_server.diagnosis.failure_kind import FailedStep
from stackyn_server.diagnosis.transcript import (
    EARLIER_LINES,
    LAST_LINES,
    LONGEST_LINE,
    Transcript,
    transcript_of,
)
from tests.patience import patient, processor_seconds

LONG = 4 * LONGEST_LINE  # characters: a pattern of quadratic time needs some 100 ms for them
LINEAR_SECONDS = 0.02  # `tests/bench/diagnosis` asserts 4 ms


def test_an_endless_log_is_bounded_and_keeps_its_early_trouble() -> None:
    transcript = Transcript()
    transcript.add("error: the first reason")
    for number in range(5_000):
        transcript.add(f"error {number} " + "x" * 10_000)

    lines = transcript.lines()

    assert len(lines) == EARLIER_LINES + LAST_LINES
    assert max(len(line.text) for line in lines) == LONGEST_LINE
    assert lines[0].text == "error: the first reason"
    assert lines[-1].number == 5_001


def test_the_lines_of_one_step_are_kept_apart() -> None:
    transcript = Transcript()
    transcript.add("of the first", "first")
    transcript.add("of the second", "second")

    assert [line.text for line in transcript.lines("second")] == ["of the second"]
    assert len(transcript.lines()) == 2


def test_a_short_log_of_no_known_kind_is_shown_whole() -> None:
    assert error_excerpt(transcript_of("starting\nout of luck\n").lines()) == "starting\nout of luck"


def test_a_long_log_of_no_known_kind_shows_first_errors_and_end() -> None:
    log = ["begin", "Error: gizmo is bent", *(f"step {number}" for number in range(200)), "giving up"]

    shown = error_excerpt(transcript_of("\n".join(log)).lines()).split("\n")

    assert shown[0] == "Error: gizmo is bent"
    assert shown[1] == "…"
    assert shown[-1] == "giving up"
    assert len(shown) <= EVIDENCE_LINES


def test_the_first_error_of_a_build_and_the_last_of_an_app_count() -> None:
    lines = transcript_of(
        "ModuleNotFoundError: No module named 'first'\nModuleNotFoundError: No module named 'last'"
    ).lines()

    built, started = diagnose(lines, FailedStep.BUILD, 1), diagnose(lines, FailedStep.START, 1)

    assert built and "first" in built.message
    assert started and "last" in started.message


def test_an_app_that_says_nothing_of_the_kind_is_not_explained() -> None:
    lines = transcript_of("listening on 8080\nGET / 200\nbye").lines()

    assert diagnose(lines, FailedStep.START, 1) is None
    assert diagnose([], FailedStep.BUILD, 1) is None


HOSTILE = ["x", " ", "a.b.c: ", "/a.go:1:1", "127.0.0.", "A_B_", "('", "refused ", "`'", "npm error ", "dial tcp ",
           "YN0035: ", "FATAL ERROR: ", "[ERROR] a.java:[1,2] ", "1:1: ", ".so.node", "Could not transfer artifact ",
           "listen bind ", "requires php x "]  # fmt: skip


PATTERNS = [
    pattern for kind in KINDS for pattern in (*kind.patterns, *([re.compile(kind.also)] if kind.also else []))
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_pattern_needs_more_than_linear_time(piece: str) -> None:
    """Lines are cut before they are read; this holds the patterns to their own part."""
    for pattern in PATTERNS:
        assert search_seconds(pattern, piece) < patient(LINEAR_SECONDS), pattern.pattern


def search_seconds(pattern: re.Pattern[str], piece: str) -> float:
    """The shortest of three searches: what else uses the processor disturbs this one too."""
    text = (piece * LONG)[:LONG]
    return min(processor_seconds(lambda: pattern.search(text)) for _ in range(3))
