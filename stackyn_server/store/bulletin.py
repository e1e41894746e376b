"""Tells readers within this process what was committed.

Nothing here is durable: the rows are the truth, and a reader that missed something reads them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_KEPT_FOR_A_READER = 64


@dataclass(frozen=True, slots=True)
class Lagged:
    """The reader was too slow: `missed` items were dropped here, and it should read the rows again."""

    missed: int


class Bulletin(Generic[T]):
    """`post` never waits, however slow a reader is."""

    def __init__(self) -> None:
        self._readers: set[BulletinReader[T]] = set()

    def post(self, item: T) -> None:
        for reader in self._readers:
            reader.offer(item)

    @contextmanager
    def subscribe(
        self, is_wanted: Callable[[T], bool], *, kept: int = _KEPT_FOR_A_READER
    ) -> Iterator[BulletinReader[T]]:
        """Subscribe. At most `kept` items wait for a slow reader."""
        reader = BulletinReader(is_wanted, kept)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)


class BulletinReader(Generic[T]):
    """The items of one reader in their order, with `Lagged` where some were dropped."""

    def __init__(self, is_wanted: Callable[[T], bool], kept: int) -> None:
        self._is_wanted = is_wanted
        self._kept = kept
        self._waiting: deque[T] = deque()
        self._missed = 0
        self._news = asyncio.Event()

    def offer(self, item: T) -> None:
        if not self._is_wanted(item):
            return
        if len(self._waiting) == self._kept:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(item)
        self._news.set()

    async def next(self, until: float | None = None) -> T | Lagged | None:
        """Wait for the next item; None when there is none `until` that time of the event loop."""
        while True:
            if self._missed:
                missed, self._missed = self._missed, 0
                return Lagged(missed)
            if self._waiting:
                return self._waiting.popleft()
            self._news.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                return None
