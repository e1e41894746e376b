"""This machine's memory that is neither used nor promised. The kernel counts what an app uses, which comes only after
its start: without the promises, two that start at the same moment would both be told that there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from stackyn_server.domain.ids import AppId
from stackyn_server.engine import host_memory


class Room:
    """One for the process. An app that starts has a promise from the decision to let it start until it answers or is
    given up; a story that resumes after a restart of this server makes its promise again."""

    def __init__(self) -> None:
        self._promised: dict[AppId, int] = {}

    async def available_mb(self, app: AppId) -> int:
        """Return what `app` could get, in MiB. To be followed by `promise` before anything else is awaited."""
        available = await asyncio.to_thread(host_memory.available_mb)
        return available - sum(mb for other, mb in self._promised.items() if other != app)

    def promise(self, app: AppId, memory_mb: int) -> None:
        self._promised[app] = memory_mb

    @contextmanager
    def while_starting(self, app: AppId) -> Iterator[None]:
        """Take the app's promise back at the end, however it ends."""
        try:
            yield
        finally:
            self._promised.pop(app, None)
