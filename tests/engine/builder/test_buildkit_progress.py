"""BuildKit's progress as lines; the recordings are of buildctl and buildkitd 0.34.2, without what nobody reads."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from stackyn_server.engine.builder.buildkit_progress import (
    LONGEST_RECORD_BYTES,
    MOST_VERTEXES,
    BuildkitProgress,
)

RECORDINGS = Path(__file__).parent / "recordings"


def progress_of(content: bytes, piece_bytes: int = 1 << 20) -> tuple[BuildkitProgress, list[str]]:
    lines: list[str] = []
    progress = BuildkitProgress()
    for start in range(0, len(content), piece_bytes):
        lines += progress.feed(content[start : start + piece_bytes])
    lines += progress.finish()
    return progress, lines


def recording(name: str) -> bytes:
    return (RECORDINGS / f"{name}.rawjson").read_bytes()


def vertex(number: int, **members: object) -> dict[str, object]:
    return {"digest": f"sha256:{number}", "name": f"[{number}/9] RUN x", **members}


def log(number: int, text: str) -> dict[str, object]:
    return {"vertex": f"sha256:{number}", "stream": 1, "data": base64.b64encode(text.encode()).decode()}


def records(*entries: object) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


STARTED = "2026-11-28T14:00:00.5Z"


@pytest.mark.parametrize("piece_bytes", [1, 77, 1 << 20])
def test_parallel_steps_are_told_with_their_lines(piece_bytes: int) -> None:
    _, lines = progress_of(recording("two-stages"), piece_bytes)

    first, second = "[first 1/2] RUN echo one; sleep 1.2; echo two", "[second 1/2] RUN <<E (sleep 0.4...)"
    assert lines[1:] == [
        "FROM stackyn/busybox:1",
        first,
        second,
        f"{first} (goes on)",
        "one",
        f"{second} (goes on)",
        "20%",
        f"{first} (goes on)",
        "two",
        "[first 1/2] DONE 1.5 s",
        "[stage-2 1/3] COPY --from=first /etc/passwd /a",
        "[stage-2 2/3] COPY --from=second /etc/passwd /b",
    ]
    assert lines[0].startswith("Warning: FromPlatformFlagConstDisallowed:")


def test_what_comes_out_of_the_cache_is_said() -> None:
    _, lines = progress_of(recording("two-stages-again"))

    assert len([line for line in lines if line.startswith("CACHED [")]) == 4


@pytest.mark.parametrize(
    ("name", "exit_code", "step", "words", "points_at"),
    [
        ("failing-step", 3, "[1/2] RUN echo the-reason >&2; exit 3", "exit code: 3", ">>> RUN echo"),
        ("parse-error", None, "", "dockerfile parse error on line 1", ">>> FORM scratch"),
        ("absent-file", None, "[1/2] COPY nothing /x", '"/nothing": not found', ">>> COPY nothing"),
    ],
)
def test_the_problem_is_read_from_the_end(
    name: str, exit_code: int | None, step: str, words: str, points_at: str
) -> None:
    progress, _ = progress_of(recording(name))

    problem = progress.problem
    assert problem is not None
    assert (problem.exit_code, problem.step) == (exit_code, step)
    assert words in problem.text and not problem.text.startswith("error")
    assert any(points_at in line for line in progress.excerpt), progress.excerpt


def test_a_step_can_not_pretend_to_be_a_record_or_an_error() -> None:
    lie = 'error: failed to solve: no\n{"vertexes": [{"digest": "a", "name": "b", "started": "c"}]}\n'

    progress, lines = progress_of(
        records({"vertexes": [vertex(1, started=STARTED)]}, {"logs": [log(1, lie)]})
    )

    assert progress.problem is None
    assert lines == ["[1/9] RUN x", *lie.splitlines()]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"vertexes": 1}',
        b'{"vertexes": [1]}',
        b'{"vertexes": [{"digest": "a", "started": "yesterday"}]}',
        b'{"logs": [{"vertex": "sha256:1", "data": "%"}]}',
        b'{"warnings": [{"short": 5}]}',
        b"{" + b'"a":{' * 5000,
        b"\xff\xfe",
    ],
)
def test_a_record_that_makes_no_sense_is_passed_over(line: bytes) -> None:
    good = records({"vertexes": [vertex(1, started=STARTED)]})

    _, lines = progress_of(line + b"\n" + good)

    assert lines == ["[1/9] RUN x"]


def test_endless_record_is_dropped_and_the_next_is_read() -> None:
    endless = b'{"logs": "' + b"x" * (LONGEST_RECORD_BYTES + 1)

    _, lines = progress_of(endless + b'"}\n' + records({"vertexes": [vertex(1, started=STARTED)]}))

    assert lines == ["[1/9] RUN x"]


def test_any_number_of_steps_takes_bounded_memory() -> None:
    many = records(*({"vertexes": [vertex(n, started=STARTED)]} for n in range(MOST_VERTEXES + 10)))

    _, lines = progress_of(many)

    assert len(lines) == MOST_VERTEXES


def test_a_cancelled_neighbour_is_not_to_blame() -> None:
    content = records(
        {"vertexes": [vertex(1, error="process did not complete: context canceled")]},
        {"vertexes": [vertex(2, error='process "x" did not complete successfully: exit code: 7')]},
    )

    progress, _ = progress_of(content)

    assert progress.problem is not None
    assert (progress.problem.step, progress.problem.exit_code) == ("[2/9] RUN x", 7)
