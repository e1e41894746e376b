"""Measures on a period what each serving app uses: one engine request for each app, a few at a time, and one statement.

An app that uses more disk than its limit is stopped, because overlay2 has no quota.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.usage import Reading, rates
from stackyn_server.engine import container_disk, stats
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.pipeline.crash_limit import give_up
from stackyn_server.reconcile.bounded_map import bounded_map
from stackyn_server.store import events, instances, samples
from stackyn_server.store.database import Database
from stackyn_server.store.instances import ServingInstance
from stackyn_server.store.samples import NewSample

log = structlog.get_logger()

_MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True)
class _Measurement:
    target: ServingInstance
    reading: Reading
    memory_bytes: int

    @property
    def instance(self) -> InstanceId:
        return self.target.instance


class Sampler:
    def __init__(
        self, settings: config.SamplesSettings, database: Database, engine: Engine, connected: asyncio.Event
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._connected = connected
        self._readings: dict[InstanceId, Reading] = {}
        self._disks: dict[InstanceId, tuple[float, int]] = {}  # when it was measured, and the bytes
        self._last_pass: float | None = None

    @property
    def age_seconds(self) -> float | None:
        """Since the last complete pass; None before the first one."""
        return None if self._last_pass is None else time.monotonic() - self._last_pass

    async def run(self) -> None:
        """Measure on the period. Run it as a supervised task."""
        await self._connected.wait()
        while True:
            began = time.monotonic()
            try:
                await self.take()
            except StackynError as error:
                log.warning("samples.failed", reason=error.message, notes=error.notes)
            await asyncio.sleep(max(0, began + self._settings.period_seconds - time.monotonic()))

    async def take(self) -> None:
        """Measure every serving app once. Raises `EngineUnavailable`, `DatabaseUnavailable`."""
        async with self._database.connection() as connection:
            targets = await instances.serving_now(connection)
        results = await bounded_map(targets, self._measure, at_once=self._settings.at_once)
        measured = [measurement for measurement in results if measurement is not None]
        await bounded_map(measured, self._measure_disk, at_once=self._settings.at_once)
        rows = [self._sample(measurement) for measurement in measured if measurement.instance in self._disks]
        if rows:
            async with self._database.transaction() as connection:
                await samples.record(connection, rows)
        present = {target.instance for target in targets}
        readings = self._readings | {measurement.instance: measurement.reading for measurement in measured}
        self._readings = {instance: reading for instance, reading in readings.items() if instance in present}
        self._disks = {instance: disk for instance, disk in self._disks.items() if instance in present}
        self._last_pass = time.monotonic()
        for measurement in measured:
            await self._stop_if_full(measurement.target)

    async def _measure(self, target: ServingInstance) -> _Measurement | None:
        usage = await stats.usage(self._engine, target.container)
        if usage is None:
            return None
        reading = Reading(
            target.container,
            time.monotonic(),
            usage.cpu_seconds_total,
            usage.received_bytes,
            usage.sent_bytes,
        )
        return _Measurement(target, reading, usage.memory_bytes)

    async def _measure_disk(self, measurement: _Measurement) -> None:
        """Measure every `disk_seconds` only: the engine reads the whole layer for it."""
        target = measurement.target
        measured_at, _ = self._disks.get(target.instance, (None, 0))
        if measured_at is not None and time.monotonic() - measured_at < self._settings.disk_seconds:
            return
        used = await container_disk.used_bytes(
            self._engine, target.container, enough=target.disk_mb * _MEBIBYTE
        )
        if used is not None:
            self._disks[target.instance] = (time.monotonic(), used)

    def _sample(self, measurement: _Measurement) -> NewSample:
        since_last = rates(self._readings.get(measurement.instance), measurement.reading)
        return NewSample(
            app=measurement.target.app,
            instance=measurement.instance,
            cpu=since_last.cpu,
            memory_bytes=measurement.memory_bytes,
            received_bytes=since_last.received_bytes,
            sent_bytes=since_last.sent_bytes,
            disk_bytes=self._disks[measurement.instance][1],
        )

    async def _stop_if_full(self, target: ServingInstance) -> None:
        used = self._disks.get(target.instance, (0.0, 0))[1]
        if used <= target.disk_mb * _MEBIBYTE:
            return
        reason = (
            f"The app wrote more to its disk than the {target.disk_mb} MB that it may use. Start it again "
            "(that begins with an empty disk), let it write less, or give it more disk in its settings."
        )
        async with self._database.transaction() as connection:
            if await give_up(connection, target.app, reason, is_urgent=True):
                await events.append(
                    connection,
                    "app.disk_full",
                    tenant=target.tenant,
                    app=target.app,
                    data={"disk_bytes": used, "limit_mb": target.disk_mb},
                )
                log.info("app.disk_full", app=target.app, instance=target.instance, disk_bytes=used)
