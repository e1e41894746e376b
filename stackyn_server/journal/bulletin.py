"""Publishes events of apps and deployments to readers within this process.

Nothing here is durable: a reader that missed something reads the rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from stackyn_server.domain.ids import AppId, DeploymentId, UserId

_KEPT_FOR_A_READER = 256


@dataclass(frozen=True, slots=True)
class Notice:
    """`name` is `noun.verb`, such as `deployment.moved`."""

    name: str
    tenant: UserId | None = None
    app: AppId | None = None
    deployment: DeploymentId | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lagged:
    """The reader was too slow: `missed` notices were dropped here, and it should read the rows again."""

    missed: int


NoticeFilter = Callable[[Notice], bool]


def everything(_: Notice) -> bool:
    return True


class Bulletin:
    """`post` never waits. `close` ends all readers after their queued notices."""

    def __init__(self) -> None:
        self._readers: set[BulletinReader] = set()
        self._closed = False

    def post(self, notice: Notice) -> None:
        for reader in self._readers:
            reader.offer(notice)

    @contextmanager
    def subscribe(
        self, is_wanted: NoticeFilter = everything, *, kept: int = _KEPT_FOR_A_READER
    ) -> Iterator[BulletinReader]:
        """Subscribe; iterate over the returned reader. At most `kept` notices wait for a slow reader."""
        reader = BulletinReader(is_wanted, kept)
        if self._closed:
            reader.end()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def close(self) -> None:
        self._closed = True
        for reader in self._readers:
            reader.end()


class BulletinReader:
    """Iterate over a reader once: notices in their order, with `Lagged` where some were dropped."""

    def __init__(self, is_wanted: NoticeFilter, kept: int) -> None:
        self._is_wanted = is_wanted
        self._kept = kept
        self._waiting: deque[Notice] = deque()
        self._missed = 0
        self._ended = False
        self._news = asyncio.Event()

    def offer(self, notice: Notice) -> None:
        if not self._is_wanted(notice):
            return
        if len(self._waiting) == self._kept:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(notice)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Notice | Lagged]:
        while True:
            if self._missed:
                missed, self._missed = self._missed, 0
                yield Lagged(missed)
            elif self._waiting:
                yield self._waiting.popleft()
            elif self._ended:
                return
            else:
                self._news.clear()
                await self._news.wait()
