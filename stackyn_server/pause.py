"""How long to wait before something that failed is tried again: doubling up to a limit, anew once it worked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from stackyn_server import config

_FACTOR = 2.0


@dataclass(slots=True)
class Pause:
    """Seconds; the numbers are `pause_*` of `[jobs]`."""

    first_seconds: float
    longest_seconds: float
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._next = self.first_seconds

    @classmethod
    def of(cls, settings: config.JobsSettings) -> Pause:
        return cls(settings.pause_first_seconds, settings.pause_longest_seconds)

    @property
    def next_seconds(self) -> float:
        return self._next

    @property
    def is_first(self) -> bool:
        """It worked until now: worth a line in the log, which every further attempt is not."""
        return self._next == self.first_seconds

    async def wait(self) -> None:
        """Wait, and longer the next time."""
        seconds, self._next = self._next, min(self._next * _FACTOR, self.longest_seconds)
        await asyncio.sleep(seconds)

    def reset(self) -> None:
        """It worked."""
        self._next = self.first_seconds
