"""Measures what each serving app has written to its disk, and stops an app that wrote more than it may.

overlay2 has no quota. The engine reads the whole writable layer for one measurement, so it is made less often than
that of memory and processor, and nothing waits for it.
"""

from __future__ import annotations

import asyncio

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import container_disk
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.pipeline.crash_limit import give_up
from stackyn_server.reconcile.app_measurements import AppMeasurements
from stackyn_server.store import events, instances
from stackyn_server.store.database import Database
from stackyn_server.store.instances import ServingInstance

log = structlog.get_logger()

_MEBIBYTE = 1024**2


class AppDisks:
    def __init__(
        self, settings: config.SamplesSettings, database: Database, engine: Engine, connected: asyncio.Event
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._connected = connected
        self._bytes: dict[InstanceId, int] = {}
        self._measurements = AppMeasurements(
            settings, "disk.unmeasured", self._measure, every_seconds=settings.disk_seconds
        )

    def used_bytes(self, target: ServingInstance) -> int | None:
        """Return what was measured last, by an earlier server too; None when it never was."""
        return self._bytes.get(target.instance, target.disk_bytes)

    async def run(self) -> None:
        """Look on the period which apps are due. Run it as a supervised task."""
        await self._connected.wait()
        while True:
            try:
                await self.take()
            except StackynError as error:
                log.warning("disks.failed", reason=error.message, notes=error.notes)
            await asyncio.sleep(self._settings.period_seconds)

    async def take(self) -> None:
        """Measure the apps that are due. Raises `DatabaseUnavailable`."""
        async with self._database.connection() as connection:
            serving = await instances.serving_now(connection)
        present = {target.instance for target in serving}
        self._bytes = {instance: used for instance, used in self._bytes.items() if instance in present}
        await self._measurements.take(serving)

    async def take_slow_ones(self) -> None:
        """Measure the apps whose disk takes long to read. Run it as a supervised task."""
        await self._measurements.take_slow_ones()

    async def _measure(self, target: ServingInstance) -> None:
        limit = target.disk_mb * _MEBIBYTE
        seconds = self._settings.slow_seconds
        used = await container_disk.used_bytes(self._engine, target.container, enough=limit, seconds=seconds)
        if used is None:
            return
        self._bytes[target.instance] = used
        if used > limit:
            await self._stop(target, used)

    async def _stop(self, target: ServingInstance, used: int) -> None:
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
