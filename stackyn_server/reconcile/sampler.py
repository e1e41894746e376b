"""What every serving app uses, measured on a period at a fixed cost: one question to the engine for each app, a few at
a time, and one statement. More disk than the app may have stops it: overlay2 keeps no quota."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.usage import Reading, rates
from stackyn_server.engine import disk, stats
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.reconcile.turns import in_turns
from stackyn_server.store import events, instances, samples
from stackyn_server.store.database import Database
from stackyn_server.store.giving_up import give_up
from stackyn_server.store.instances import Serving
from stackyn_server.store.samples import NewSample

log = structlog.get_logger()

_MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True)
class _Measured:
    target: Serving
    reading: Reading
    memory_bytes: int


class Sampler:
    def __init__(
        self,
        settings: config.SamplesSettings,
        database: Database,
        engine: Engine,
        reached: asyncio.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._reached = reached
        self._clock = clock
        self._readings: dict[InstanceId, Reading] = {}
        self._disks: dict[InstanceId, tuple[float, int]] = {}
        self.last_pass: float | None = None  # of the clock, for those who ask how old the samples are

    @property
    def age_seconds(self) -> float | None:
        """Since the last complete pass; None before the first one."""
        return None if self.last_pass is None else self._clock() - self.last_pass

    async def run(self) -> None:
        """Measure on the period. Run it as a supervised task."""
        await self._reached.wait()
        while True:
            began = self._clock()
            try:
                await self.take()
            except StackynError as error:
                log.warning("samples.failed", reason=error.message, notes=error.notes)
            await asyncio.sleep(max(0, began + self._settings.period_seconds - self._clock()))

    async def take(self) -> None:
        """Measure every serving app once. Raises `EngineUnavailable`, `DatabaseUnavailable`."""
        async with self._database.connection() as connection:
            targets = await instances.serving_now(connection)
        found = await in_turns(targets, self._measure, at_once=self._settings.at_once)
        measured = [one for one in found if one is not None]
        await in_turns(measured, self._look_at_disk, at_once=self._settings.at_once)
        taken = [self._sample(one) for one in measured if one.target.instance in self._disks]
        if taken:
            async with self._database.transaction() as connection:
                await samples.record(connection, taken)
        self._forget({target.instance for target in targets})
        self._readings |= {one.target.instance: one.reading for one in measured}
        self.last_pass = self._clock()
        for one in measured:
            await self._stop_if_full(one.target)

    async def _measure(self, target: Serving) -> _Measured | None:
        found = await stats.sample(self._engine, target.container)
        if found is None:
            return None
        reading = Reading(
            target.container,
            self._clock(),
            found.cpu_seconds_total,
            found.received_bytes,
            found.sent_bytes,
        )
        return _Measured(target, reading, found.memory_bytes)

    async def _look_at_disk(self, one: _Measured) -> None:
        """Less often than the rest: the engine walks the layer for it."""
        looked_at, _ = self._disks.get(one.target.instance, (None, 0))
        if looked_at is not None and self._clock() - looked_at < self._settings.disk_seconds:
            return
        used = await disk.used_bytes(
            self._engine, one.target.container, enough=one.target.disk_mb * _MEBIBYTE
        )
        if used is not None:
            self._disks[one.target.instance] = (self._clock(), used)

    def _sample(self, one: _Measured) -> NewSample:
        since = rates(self._readings.get(one.target.instance), one.reading)
        return NewSample(
            app=one.target.app,
            instance=one.target.instance,
            cpu=since.cpu,
            memory_bytes=one.memory_bytes,
            received_bytes=since.received_bytes,
            sent_bytes=since.sent_bytes,
            disk_bytes=self._disks[one.target.instance][1],
        )

    async def _stop_if_full(self, target: Serving) -> None:
        used = self._disks.get(target.instance, (0.0, 0))[1]
        if used <= target.disk_mb * _MEBIBYTE:
            return
        reason = (
            f"The app wrote more to its disk than the {target.disk_mb} MB that it may use. Start it again "
            "(that begins with an empty disk), let it write less, or give it more disk in its settings."
        )
        async with self._database.transaction() as connection:
            if await give_up(connection, target.app, reason):
                await events.append(
                    connection,
                    "app.disk_full",
                    tenant=target.tenant,
                    app=target.app,
                    data={"disk_bytes": used, "limit_mb": target.disk_mb},
                )
                log.info("app.disk_full", app=target.app, instance=target.instance, disk_bytes=used)

    def _forget(self, present: set[InstanceId]) -> None:
        for instance in self._readings.keys() - present:
            del self._readings[instance]
        for instance in self._disks.keys() - present:
            del self._disks[instance]
