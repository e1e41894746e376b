"""A build that prints without end must not be heard by those who wait for the event loop."""

from __future__ import annotations

import time

from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.engine.builder.build_log_writer import BuildLogWriter
from stackyn_server.engine.builder.buildkit_progress import BuildkitProgress
from stackyn_server.journal.stream import Stream
from stackyn_server.security.redaction import redact
from tests.engine.builder.test_buildkit_progress import STARTED, log, records, vertex
from tests.loop import longest_wait

PIECE_BYTES = 64 * 1024  # as they come from the engine
LINES = 150_000  # in one record: BuildKit gathers more of them from `yes` while it is read slowly


async def test_endless_output_leaves_the_loop_to_others() -> None:
    """Written in one piece, the wait would be all of the time. `tests/bench/engine` asserts the milliseconds."""
    longest_wait_seconds, seconds = await write_endless_output()
    assert longest_wait_seconds < seconds / 2


async def write_endless_output() -> tuple[float, float]:
    """Return the longest wait of the event loop meanwhile, and the seconds that all took."""
    endless = records({"vertexes": [vertex(1, started=STARTED)]}, {"logs": [log(1, "y\n" * LINES)]})
    journal = Stream((AppId(1), DeploymentId(1), "build"), redact, None)
    line_count = 0

    def say(line: str) -> None:
        nonlocal line_count
        line_count += 1
        journal.feed(f"{line}\n", free_bytes=1_000_000)

    writer = BuildLogWriter(BuildkitProgress(), say)

    began = time.monotonic()
    async with longest_wait() as waited:
        for start in range(0, len(endless), PIECE_BYTES):
            await writer.feed(endless[start : start + PIECE_BYTES])
        await writer.finish()

    assert line_count == LINES + 1
    return waited.seconds, time.monotonic() - began
