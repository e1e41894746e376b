"""Write a build's lines to its log without blocking the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stackyn_server.engine.builder.buildkit_progress import BuildkitProgress
from stackyn_server.engine.pacing import LoopPacer


class BuildLogWriter:
    """Calls `write_line` with each line that `progress` makes of the standard error."""

    def __init__(self, progress: BuildkitProgress, write_line: Callable[[str], None]) -> None:
        self._progress = progress
        self._write_line = write_line
        self._pacer = LoopPacer()
        self._pacer.stop()

    async def feed(self, piece: bytes) -> None:
        await self._write(self._progress.feed(piece))

    async def finish(self) -> None:
        """Write the lines without a line break."""
        await self._write(self._progress.finish())

    async def _write(self, lines: Iterable[str]) -> None:
        self._pacer.start()
        for line in lines:
            self._write_line(line)
            await self._pacer.pause_if_due()
        self._pacer.stop()
