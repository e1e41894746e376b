"""Measure every serving app on a period, so that one which takes long delays nobody.

An app that takes longer than it may is measured later, one such app at a time, with a longer limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from stackyn_server import config
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.reconcile.bounded_map import Failed, bounded_map
from stackyn_server.reconcile.failing import Failing
from stackyn_server.store.instances import ServingInstance


class AppMeasurements:
    """`measure` keeps what it finds. An app is measured again after `every_seconds`. A failure is logged once, as
    `event`, until the app has been measured again."""

    def __init__(
        self,
        settings: config.SamplesSettings,
        event: str,
        measure: Callable[[ServingInstance], Awaitable[None]],
        *,
        every_seconds: float = 0,
    ) -> None:
        self._settings = settings
        self._measure = measure
        self._every_seconds = every_seconds
        self._failing = Failing[AppId](event)
        self._failing_alone = Failing[AppId](event)
        self._measured_at: dict[InstanceId, float] = {}
        self._slow: dict[InstanceId, ServingInstance] = {}
        self._are_slow_due = asyncio.Event()

    async def take(self, serving: Sequence[ServingInstance]) -> None:
        """Measure the apps that are due, a few at a time, and leave the slow ones to `take_slow_ones`."""
        present = {target.instance: target for target in serving}
        self._measured_at = {key: at for key, at in self._measured_at.items() if key in present}
        self._slow = {key: present[key] for key in self._slow if key in present}
        due = self._due(target for target in serving if target.instance not in self._slow)
        settings = self._settings
        results = await bounded_map(
            due, self._take_one, at_once=settings.at_once, seconds=settings.app_seconds
        )
        for target, result in zip(due, results, strict=True):
            if isinstance(result, Failed) and result.is_late:
                self._slow[target.instance] = target
        self._failing.note(zip((target.app for target in due), results, strict=True))
        if self._due(self._slow.values()):
            self._are_slow_due.set()

    async def take_slow_ones(self) -> None:
        """Measure slow apps alone, for ever. Run it as a supervised task."""
        while True:
            await self._are_slow_due.wait()
            self._are_slow_due.clear()
            outcomes = []
            for target in self._due(self._slow.values()):
                began = time.monotonic()
                seconds = self._settings.slow_seconds
                [result] = await bounded_map([target], self._take_one, at_once=1, seconds=seconds)
                outcomes.append((target.app, result))
                took = time.monotonic() - began
                if not isinstance(result, Failed) and took < self._settings.app_seconds:
                    self._slow.pop(target.instance, None)
                await asyncio.sleep(took)  # the engine may still be at it, and has others to serve
            self._failing_alone.note(outcomes)

    async def _take_one(self, target: ServingInstance) -> None:
        await self._measure(target)
        self._measured_at[target.instance] = time.monotonic()

    def _due(self, targets: Iterable[ServingInstance]) -> list[ServingInstance]:
        latest = time.monotonic() - self._every_seconds
        return [target for target in targets if self._measured_at.get(target.instance, latest) <= latest]
