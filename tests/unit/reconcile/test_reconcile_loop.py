"""When the rows are compared with the engine: at once after an event, and never without a pause."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from stackyn_server import config
from stackyn_server.engine.errors import EngineUnavailable
from stackyn_server.reconcile.reconcile_loop import ReconcileLoop

PAUSE_SECONDS = 0.2


class CountedComparisons:
    """A reconciler whose comparisons do nothing, or fail, and the times when they were made."""

    is_settling = False

    def __init__(self) -> None:
        self.at: list[float] = []
        self.probed = 0
        self.is_engine_away = self.is_engine_silent = False
        self._compared = asyncio.Condition()

    async def compare(self) -> None:
        self.at.append(time.monotonic())
        async with self._compared:
            self._compared.notify_all()
        if self.is_engine_silent:
            await asyncio.Event().wait()
        if self.is_engine_away:
            raise EngineUnavailable("it took too long")

    async def compare_without_engine(self) -> None:
        self.probed += 1
        async with self._compared:
            self._compared.notify_all()

    async def until(self, times: int, probed: int = 0) -> None:
        async with self._compared, asyncio.timeout(10):
            await self._compared.wait_for(lambda: len(self.at) >= times and self.probed >= probed)


@asynccontextmanager
async def running(comparisons: Any, *, is_connected: bool = True) -> AsyncIterator[ReconcileLoop]:
    settings = config.ReconcileSettings(event_seconds=PAUSE_SECONDS)
    connected = asyncio.Event()
    if is_connected:
        connected.set()
    loop = ReconcileLoop(settings, connected, comparisons, None)  # type: ignore[arg-type]
    task = asyncio.create_task(loop.run(), name="reconcile")
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_storm_of_events_is_a_few_comparisons() -> None:
    comparisons = CountedComparisons()
    async with running(comparisons) as loop:
        await comparisons.until(1)
        began = time.monotonic()
        while len(comparisons.at) < 4:
            loop.request_comparison()
            await asyncio.sleep(0.001)
    assert time.monotonic() - began > 2.5 * PAUSE_SECONDS, "three pauses lie between four comparisons"


async def test_request_during_the_pause_is_not_lost() -> None:
    comparisons = CountedComparisons()
    async with running(comparisons) as loop:
        await comparisons.until(1)
        loop.request_comparison()
        await comparisons.until(2)


async def test_apps_are_probed_while_the_engine_lists_nothing() -> None:
    comparisons = CountedComparisons()
    comparisons.is_engine_away = True
    async with running(comparisons):
        await comparisons.until(3)
    assert comparisons.probed >= 2
    assert comparisons.at[2] - comparisons.at[0] > 1.5 * PAUSE_SECONDS


async def test_apps_are_asked_while_a_lost_engine_does_not_answer() -> None:
    """An engine that starts accepts connections some seconds before it answers."""
    comparisons = CountedComparisons()
    async with running(comparisons) as loop:
        await comparisons.until(1)
        assert comparisons.probed == 0
        comparisons.is_engine_silent = True
        loop.engine_lost()
        await comparisons.until(2, probed=3)
    assert len(comparisons.at) == 2


async def test_apps_are_asked_until_the_engine_is_reached_for_the_first_time() -> None:
    comparisons = CountedComparisons()
    async with running(comparisons, is_connected=False):
        await comparisons.until(0, probed=2)
    assert comparisons.at == []
