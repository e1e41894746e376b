"""Tells a build's lines without keeping the event loop from everybody else.

What a step prints in a second may be a million lines, and each costs some microseconds until it is in the journal. So
the work is done in short turns with pauses between them; meanwhile nobody reads the builder's output, and it waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from stackyn_server.engine.builder.progress import Progress

_TURN_SECONDS = 0.004
_PAUSE_SECONDS = 0.008  # the lines of one build take a third of the loop's time, at most


class Telling:
    """Gives `say` each line that `progress` makes of the standard error."""

    def __init__(self, progress: Progress, say: Callable[[str], None]) -> None:
        self._progress = progress
        self._say = say
        self._worked_seconds = 0.0  # since the last pause

    async def feed(self, piece: bytes) -> None:
        await self._tell(self._progress.feed(piece))

    async def finish(self) -> None:
        """Tell what never ended."""
        await self._tell(self._progress.finish())

    async def _tell(self, lines: Iterable[str]) -> None:
        began = time.monotonic() - self._worked_seconds
        for line in lines:
            self._say(line)
            if time.monotonic() - began > _TURN_SECONDS:
                await asyncio.sleep(_PAUSE_SECONDS)
                began = time.monotonic()
        self._worked_seconds = time.monotonic() - began
