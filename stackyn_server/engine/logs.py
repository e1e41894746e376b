"""Read a container's output line by line, with stream and exact time.

The frames are parsed here, because aiodocker drops the stream of a line.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime

from stackyn_server.domain.logs import LogLine, StreamName
from stackyn_server.engine.client import Engine
from stackyn_server.engine.engine_streams import EngineStream
from stackyn_server.engine.errors import Absent, EngineSilent
from stackyn_server.engine.timestamps import as_parameter, parse_nanoseconds, parse_time, to_nanoseconds

# The engine cuts lines at 16 KiB and we join them. A longer line comes out in pieces of this size.
LONGEST_LINE_BYTES = 65_536
# Of one batch: what its lines cost is a short slice of the loop, and a reader's queue of them is bounded.
_MOST_LINES, _MOST_BYTES = 200, 65_536
_HEADER = struct.Struct(">BxxxI")  # stream number, length
_STREAMS: dict[int, StreamName] = {1: "stdout", 2: "stderr"}


async def read(
    engine: Engine,
    container: str,
    *,
    follow: bool = False,
    since: datetime | int | None = None,
    tail: int | None = None,
) -> AsyncGenerator[LogLine, None]:
    """Yield the lines that `read_batches` reads, one by one."""
    async with aclosing(read_batches(engine, container, follow=follow, since=since, tail=tail)) as batches:
        async for batch in batches:
            for line in batch:
                yield line


async def read_batches(
    engine: Engine,
    container: str,
    *,
    follow: bool = False,
    since: datetime | int | None = None,
    tail: int | None = None,
    opened: asyncio.Event | None = None,
) -> AsyncGenerator[list[LogLine], None]:
    """Yield lines written after `since` (a time, or a line's `nanoseconds`), those together that came together; with
    `follow`, new ones until the container stops, or writes nothing for `[engine] silence_seconds`: look whether it
    runs, and go on from its last line.

    `tail` limits how many old lines come first; None means all of them. `opened` is set as soon as no new line can be
    missed. An absent container yields nothing. Raises `EngineUnavailable` when the connection breaks. Use
    `contextlib.aclosing` to stop early.
    """
    params = {
        "follow": str(follow).lower(),
        "stdout": "true",
        "stderr": "true",
        "timestamps": "true",
        "tail": "all" if tail is None else str(tail),
    }
    if since is not None:
        # `since` includes its own nanosecond (measured): without + 1 the last line would come again.
        params["since"] = as_parameter((to_nanoseconds(since) if isinstance(since, datetime) else since) + 1)
    try:
        silence_seconds = engine.settings.silence_seconds if follow else None
        async with engine.stream(
            "GET", f"containers/{container}/logs", params=params, silence_seconds=silence_seconds
        ) as stream:
            if opened is not None:
                opened.set()
            joiner = LineJoiner()
            batch, size = list[LogLine](), 0
            async for number, payload, is_last in _frames(stream):
                if line := joiner.feed(_STREAMS.get(number, "stdout"), payload):
                    batch.append(line)
                    size += len(line.text)
                if batch and (is_last or len(batch) == _MOST_LINES or size >= _MOST_BYTES):
                    yield batch
                    batch, size = [], 0
            if unfinished := joiner.unfinished():
                yield unfinished
    except Absent:
        return
    except EngineSilent:
        if not follow:
            raise


async def _frames(stream: EngineStream) -> AsyncIterator[tuple[int, bytes, bool]]:
    """Yield stream number, content, and whether no further frame has come yet."""
    buffer = bytearray()
    async for chunk in stream.chunks():
        buffer += chunk
        position = 0
        frame: tuple[int, bytes] | None = None
        while len(buffer) - position >= _HEADER.size:
            number, length = _HEADER.unpack_from(buffer, position)
            end = position + _HEADER.size + length
            if len(buffer) < end:
                break
            if frame is not None:
                yield *frame, False
            frame = number, bytes(buffer[position + _HEADER.size : end])
            position = end
        del buffer[:position]
        if frame is not None:
            yield *frame, True


class LineJoiner:
    """Joins lines that the engine cut into frames of 16 KiB, each frame with a time of its own."""

    def __init__(self) -> None:
        self._open: dict[StreamName, tuple[str, bytearray]] = {}

    def feed(self, stream: StreamName, payload: bytes) -> LogLine | None:
        """Take one frame (`<time> <text>`) and return the line that it completes."""
        stamp, _, text = payload.partition(b" ")
        first_stamp, joined = self._open.pop(stream, (stamp.decode("ascii", "replace"), bytearray()))
        joined += text
        if joined.endswith(b"\n") or len(joined) >= LONGEST_LINE_BYTES:
            return _line(first_stamp, stream, bytes(joined))
        self._open[stream] = (first_stamp, joined)
        return None

    def unfinished(self) -> list[LogLine]:
        """Return the lines that have no line break yet."""
        return [_line(stamp, stream, bytes(joined)) for stream, (stamp, joined) in self._open.items()]


def _line(stamp: str, stream: StreamName, text: bytes) -> LogLine:
    at = parse_time(stamp)
    if at is None:
        raise ValueError(f"a log line without a time: {stamp!r}")
    decoded = text.decode("utf-8", "replace").rstrip("\r\n")
    return LogLine(at, parse_nanoseconds(stamp), stream, decoded)
