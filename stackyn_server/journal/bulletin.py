"""The news of this process: what happened to apps and deployments, told at once to whoever listens.

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


Wanted = Callable[[Notice], bool]


def everything(_: Notice) -> bool:
    return True


class Bulletin:
    """`post` never waits. `close` ends all subscriptions after what they still hold."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    def post(self, notice: Notice) -> None:
        for subscription in self._subscriptions:
            subscription.offer(notice)

    @contextmanager
    def subscribe(
        self, wanted: Wanted = everything, *, kept: int = _KEPT_FOR_A_READER
    ) -> Iterator[Subscription]:
        """Listen from now on; iterate over what this gives. At most `kept` notices wait for a slow reader."""
        subscription = Subscription(wanted, kept)
        if self._closed:
            subscription.end()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()


class Subscription:
    """Iterate over it once: notices in their order, with `Lagged` where some were dropped."""

    def __init__(self, wanted: Wanted, kept: int) -> None:
        self._wanted = wanted
        self._kept = kept
        self._waiting: deque[Notice] = deque()
        self._missed = 0
        self._ended = False
        self._news = asyncio.Event()

    def offer(self, notice: Notice) -> None:
        if not self._wanted(notice):
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
