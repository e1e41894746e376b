"""Waiting: the back-off between two attempts, and the wait for an event with a limit."""

from __future__ import annotations

import asyncio

from stackyn_server import config


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return True as soon as the event is set, and False when it is not set after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


class Pause:
    """The back-off between two attempts: it grows by `factor` up to a limit, and starts again after a success."""

    def __init__(self, first_seconds: float, longest_seconds: float, factor: float = 2.0) -> None:
        self.next_seconds = self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._factor = factor

    @classmethod
    def of(cls, settings: config.JobsSettings) -> Pause:
        return cls(settings.pause_first_seconds, settings.pause_longest_seconds)

    @property
    def is_first(self) -> bool:
        """Whether this is the first failure after a success: it is logged, and further ones are not."""
        return self.next_seconds == self._first_seconds

    async def wait(self) -> None:
        """Wait, and make the next wait longer."""
        seconds = self.next_seconds
        self.next_seconds = min(seconds * self._factor, self._longest_seconds)
        await asyncio.sleep(seconds)

    def reset(self) -> None:
        """Start again with the first wait, after a success."""
        self.next_seconds = self._first_seconds
