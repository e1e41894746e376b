"""The memory of this machine that starting apps have reserved: they use it only some time after their start, and
without reservations two apps that start at the same moment would both find the same memory free."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from stackyn_server.domain.failures import Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import AppId
from stackyn_server.engine import host_memory


class NoMemory(TransientFailure):
    """The machine has too little free memory now; a later attempt may succeed."""

    def __init__(self) -> None:
        super().__init__(
            Failure(
                FailureCode.NO_MEMORY,
                "This server has not enough free memory to start the app right now.",
                "Deploy again later, give the app less memory in its settings, or ask the server's operator.",
            )
        )


class MemoryReservations:
    """One for the process, in memory only: a job that resumes after a restart of this server reserves again.

    An app holds its reservation from the decision to start it until it answers or the start has failed.
    """

    def __init__(self) -> None:
        self._reserved: dict[AppId, int] = {}

    async def available_mb(self, app: AppId) -> int:
        """Return what `app` could get, in MiB. Call `reserve` before anything else is awaited."""
        available = await asyncio.to_thread(host_memory.available_mb)
        return available - sum(mb for owner, mb in self._reserved.items() if owner != app)

    def reserve(self, app: AppId, memory_mb: int) -> None:
        self._reserved[app] = memory_mb

    @contextmanager
    def while_starting(self, app: AppId) -> Iterator[None]:
        """Release the app's reservation at the end of the block, however the block ends."""
        try:
            yield
        finally:
            self._reserved.pop(app, None)
