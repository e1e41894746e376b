"""The engine's build records, read by hand-made examples of both builders."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from stackyn_server.engine import buildkit_trace
from stackyn_server.engine.build_output import BuildOutput


def fed(*records: dict[str, Any], own_steps: int = 0) -> tuple[BuildOutput, list[str]]:
    lines: list[str] = []
    output = BuildOutput(lines.append, own_steps)
    for record in records:
        output.feed(record)
    output.finish()
    return output, lines


def stream(text: str) -> dict[str, Any]:
    return {"stream": text}


def test_the_builders_bookkeeping_is_read_and_not_shown() -> None:
    output, lines = fed(
        stream("Step 1/5 : FROM base AS first\n"),
        stream(" ---> aaaaaaaaaaaa\n"),
        stream("Step 2/5 : RUN make\n"),
        stream(" ---> Running in bbbbbbbbbbbb\n"),
        stream("made\n"),
        stream("Removing intermediate container bbbbbbbbbbbb\n"),
        stream(" ---> cccccccccccc\n"),
        stream("Step 3/5 : FROM base\n"),
        stream(" ---> aaaaaaaaaaaa\n"),
        stream("Step 4/5 : LABEL io.stackyn.image.app=1\n"),
        stream(" ---> Removed intermediate container dddddddddddd\n"),
        {"aux": {"ID": "sha256:e"}},
        own_steps=2,
    )

    assert lines == ["Step 1/3 : FROM base AS first", "Step 2/3 : RUN make", "made", "Step 3/3 : FROM base"]
    assert output.containers == ["bbbbbbbbbbbb"]
    assert output.images == ["aaaaaaaaaaaa", "cccccccccccc"]
    assert output.stages == ["cccccccccccc"]
    assert output.image == "sha256:e"


def test_the_evidence_is_the_last_forty_lines() -> None:
    output, lines = fed(stream("".join(f"line {number}\n" for number in range(100))))

    assert len(lines) == 100
    assert output.evidence.splitlines() == [f"line {number}" for number in range(60, 100)]


def test_a_step_that_prints_ids_for_ever_does_not_fill_the_memory() -> None:
    output, _ = fed(*(stream(f" ---> {number:012x}\n") for number in range(5000)))

    assert len(output.images) == 1000


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"errorDetail": {"code": 3, "message": "returned a non-zero code: 3"}, "error": "x"}, 3),
        ({"errorDetail": {"message": 'process "sh" did not complete successfully: exit code: 137'}}, 137),
        ({"error": "The command 'x' returned a non-zero code: 2"}, 2),
        ({"errorDetail": {"message": "pull access denied"}}, None),
    ],
)
def test_the_exit_code_is_found(record: dict[str, Any], code: int | None) -> None:
    output, _ = fed(record)

    assert output.problem is not None
    assert output.problem.exit_code == code


def test_of_a_pull_the_layers_are_left_out() -> None:
    _, lines = fed(
        {"status": "Pulling from library/python", "id": "3.11"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "0123456789ab"},
        {"status": "Downloading", "progressDetail": {"current": 1}, "progress": "[>]", "id": "0123456789ab"},
        {"status": "Digest: sha256:f"},
    )

    assert lines == ["Pulling from library/python", "Digest: sha256:f"]


def varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def trace(*fields: bytes) -> dict[str, Any]:
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(b"".join(fields)).decode()}


def vertex(digest: str, name: str, *more: bytes) -> bytes:
    return field(1, field(1, digest.encode()) + field(3, name.encode()) + b"".join(more))


def log(digest: str, text: str) -> bytes:
    return field(3, field(1, digest.encode()) + field(3, 1) + field(4, text.encode()))


STARTED, COMPLETED, CACHED = field(5, field(1, 300)), field(6, field(1, 301)), field(4, 1)


def test_buildkits_steps_and_their_lines_are_told_once_and_in_order() -> None:
    _, lines = fed(
        trace(
            vertex("a", "[1/2] FROM base"),
            vertex("b", "[2/2] RUN make"),
            vertex("i", "[internal] load x", STARTED),
        ),
        trace(vertex("a", "[1/2] FROM base", CACHED)),
        trace(vertex("b", "[2/2] RUN make", STARTED)),
        trace(log("b", "hel"), log("b", "lo\nwor")),
        trace(log("b", "ld\n"), vertex("b", "[2/2] RUN make", STARTED, COMPLETED)),
        trace(field(4, field(1, b"b") + field(3, b"mind the case"))),
    )

    assert lines == [
        "[1/2] FROM base (from cache)",
        "[2/2] RUN make",
        "hello",
        "world",
        "Warning: mind the case",
    ]


def test_the_step_that_failed_is_named() -> None:
    output, _ = fed(trace(vertex("a", "[2/3] RUN exit 1", STARTED, field(7, b"exit code: 1"))))

    assert output.step == "[2/3] RUN exit 1"


@pytest.mark.parametrize(
    "content", ["not base64!", base64.b64encode(b"\x0a\xff").decode(), base64.b64encode(b"\x0b").decode()]
)
def test_a_broken_trace_is_refused_by_the_decoder_and_survived_by_the_build(content: str) -> None:
    with pytest.raises(buildkit_trace.TraceInvalid):
        buildkit_trace.decode(content)
    fed({"id": "moby.buildkit.trace", "aux": content})


def test_numbers_of_all_widths_are_skipped() -> None:
    content = (
        varint(9 << 3 | 1) + b"\0" * 8 + varint(9 << 3 | 5) + b"\0" * 4 + field(9, 2**60) + log("a", "x\n")
    )

    assert buildkit_trace.decode(base64.b64encode(content).decode()).logs[0].message == b"x\n"
