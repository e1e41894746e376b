"""Keeps work on many small pieces, such as the lines of a program that prints without end, from holding the event loop.

What is printed in a second may be a million lines, and each costs some microseconds until it is in the journal. So the
work is done in short turns with pauses between them; meanwhile nobody reads the output, and it waits.
"""

from __future__ import annotations

import asyncio
import time

_TURN_SECONDS = 0.004
_PAUSE_SECONDS = 0.008  # the lines of one program take a third of the loop's time, at most


class LoopPacer:
    """Told of each piece that was done. What passes between `stop` and `start` is not counted as work."""

    def __init__(self) -> None:
        self._worked_seconds = 0.0  # since the last pause
        self._began = time.monotonic()

    def start(self) -> None:
        self._began = time.monotonic() - self._worked_seconds

    def stop(self) -> None:
        self._worked_seconds = time.monotonic() - self._began

    async def pause_if_due(self) -> None:
        """Let others have the loop, if this turn has lasted long enough."""
        if time.monotonic() - self._began > _TURN_SECONDS:
            await asyncio.sleep(_PAUSE_SECONDS)
            self._began = time.monotonic()
