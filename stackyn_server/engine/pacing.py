"""Keep work on many small pieces, such as lines of output, from blocking the event loop.

A program can print a million lines in a second, and each costs some microseconds until it is in the journal. So the
work is done in short slices with pauses between them. During a pause nobody reads the output, and the program waits.
"""

from __future__ import annotations

import asyncio
import time

_SLICE_SECONDS = 0.004
_PAUSE_SECONDS = 0.008  # the lines of one program take a third of the loop's time, at most


class LoopPacer:
    """Call `pause_if_due` after each piece. The time between `stop` and `start` does not count as work."""

    def __init__(self) -> None:
        self._worked_seconds = 0.0  # since the last pause
        self._began = time.monotonic()

    def start(self) -> None:
        self._began = time.monotonic() - self._worked_seconds

    def stop(self) -> None:
        self._worked_seconds = time.monotonic() - self._began

    async def pause_if_due(self) -> None:
        """Sleep when the slice is used up, so that other tasks run."""
        if time.monotonic() - self._began > _SLICE_SECONDS:
            await asyncio.sleep(_PAUSE_SECONDS)
            self._began = time.monotonic()
