"""Measures on a period what each serving app uses: its control group, a few apps at a time, and one statement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.usage import Reading, rates
from stackyn_server.engine import stats
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.reconcile.app_measurements import AppMeasurements
from stackyn_server.store import instances, samples
from stackyn_server.store.database import Database
from stackyn_server.store.instances import ServingInstance
from stackyn_server.store.samples import NewSample

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Measurement:
    reading: Reading
    memory_bytes: int


class Sampler:
    """`disk_bytes` returns what is known of an instance's disk; without it there is no sample yet."""

    def __init__(
        self,
        settings: config.SamplesSettings,
        database: Database,
        engine: Engine,
        connected: asyncio.Event,
        disk_bytes: Callable[[ServingInstance], int | None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._connected = connected
        self._disk_bytes = disk_bytes
        self._measurements = AppMeasurements(settings, "sample.missing", self._measure)
        self._new: dict[InstanceId, _Measurement] = {}  # not yet recorded
        self._readings: dict[InstanceId, Reading] = {}  # the last recorded ones
        self._last_pass: float | None = None

    @property
    def age_seconds(self) -> float | None:
        """Since the last pass; None before the first one."""
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
        """Measure every serving app once, and record it with what slow apps have brought meanwhile. Raises
        `DatabaseUnavailable`."""
        async with self._database.connection() as connection:
            serving = await instances.serving_now(connection)
        await self._measurements.take(serving)
        measured, self._new = self._new, {}
        rows = [
            self._sample(target, measured[target.instance], disk_bytes)
            for target in serving
            if target.instance in measured and (disk_bytes := self._disk_bytes(target)) is not None
        ]
        if rows:
            async with self._database.transaction() as connection:
                await samples.record(connection, rows)
        readings = self._readings | {instance: new.reading for instance, new in measured.items()}
        present = {target.instance for target in serving}
        self._readings = {instance: reading for instance, reading in readings.items() if instance in present}
        self._last_pass = time.monotonic()

    async def take_slow_ones(self) -> None:
        """Measure the apps that take long. Run it as a supervised task."""
        await self._measurements.take_slow_ones()

    async def _measure(self, target: ServingInstance) -> None:
        usage = await stats.usage(self._engine, target.container)
        if usage is None:
            return
        reading = Reading(
            target.container,
            time.monotonic(),
            usage.cpu_seconds_total,
            usage.received_bytes,
            usage.sent_bytes,
        )
        self._new[target.instance] = _Measurement(reading, usage.memory_bytes)

    def _sample(self, target: ServingInstance, measured: _Measurement, disk_bytes: int) -> NewSample:
        since_last = rates(self._readings.get(target.instance), measured.reading)
        return NewSample(
            app=target.app,
            instance=target.instance,
            cpu=since_last.cpu,
            memory_bytes=measured.memory_bytes,
            received_bytes=since_last.received_bytes,
            sent_bytes=since_last.sent_bytes,
            disk_bytes=disk_bytes,
        )
