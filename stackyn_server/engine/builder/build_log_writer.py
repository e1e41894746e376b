"""Tells a build's lines without keeping the event loop from everybody else."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stackyn_server.engine.builder.build_progress import BuildProgress
from stackyn_server.engine.pacing import LoopPacer


class BuildLogWriter:
    """Gives `say` each line that `progress` makes of the standard error."""

    def __init__(self, progress: BuildProgress, say: Callable[[str], None]) -> None:
        self._progress = progress
        self._say = say
        self._pace = LoopPacer()
        self._pace.stop()

    async def feed(self, piece: bytes) -> None:
        await self._tell(self._progress.feed(piece))

    async def finish(self) -> None:
        """Tell what never ended."""
        await self._tell(self._progress.finish())

    async def _tell(self, lines: Iterable[str]) -> None:
        self._pace.start()
        for line in lines:
            self._say(line)
            await self._pace.pause_if_due()
        self._pace.stop()
