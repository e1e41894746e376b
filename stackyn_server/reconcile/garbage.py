"""What nobody needs any more: by label and record, never host-wide."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import structlog

from stackyn_server import config
from stackyn_server.engine import images
from stackyn_server.engine.client import Engine
from stackyn_server.jobs.run import JobRun
from stackyn_server.store import apps, deployments, instances, jobs, releases, samples
from stackyn_server.store.database import Database

log = structlog.get_logger()

_ROWS_AT_ONCE = 1000
_SAMPLES_AT_ONCE = 50_000


class Garbage:
    """Run on a period. Everything it takes is safe to have been taken already."""

    def __init__(self, settings: config.Settings, database: Database, engine: Engine, clones: Path) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._clones = clones

    async def collect(self, _: JobRun) -> None:
        await self._forget_apps()
        await self._images_beyond_rollback()
        await self._clones_of_ended()
        async with self._database.transaction() as connection:
            await jobs.purge(connection, self._settings.jobs.keep_days, _ROWS_AT_ONCE)
            await instances.purge(connection, self._settings.jobs.keep_days, _ROWS_AT_ONCE)
        await self._old_samples()

    async def _forget_apps(self) -> None:
        """The seat of a deleted app returns once no proxy can still hold a request for it."""
        async with self._database.transaction() as connection:
            quarantine = self._settings.hold.seconds + self._settings.network.quarantine_seconds
            forgotten = await apps.forget(connection, quarantine)
        if forgotten:
            log.info("apps.forgotten", apps=forgotten)

    async def _old_samples(self) -> None:
        """Old measurements become coarse, and very old ones go."""
        chosen = self._settings.samples
        async with self._database.transaction() as connection:
            await samples.condense(
                connection,
                older_than_seconds=chosen.keep_hours * 3600,
                step_seconds=chosen.coarse_seconds,
                limit=_SAMPLES_AT_ONCE,
            )
            await samples.purge(connection, chosen.coarse_days)

    async def _images_beyond_rollback(self) -> None:
        async with self._database.connection() as connection:
            surplus = await releases.images_to_remove(connection, self._settings.apps.keep_releases)
        for app, image in surplus:
            if await images.remove(self._engine, image):
                log.info("image.removed", app=app, image=image)
            async with self._database.transaction() as connection:
                await releases.image_removed(connection, app, image)

    async def _clones_of_ended(self) -> None:
        names = await asyncio.to_thread(_names, self._clones)
        ids = {int(name[1:]): name for name in names if name[:1] == "d" and name[1:].isdecimal()}
        async with self._database.connection() as connection:
            building = await deployments.needing_clone(connection, list(ids))
        for deployment in ids.keys() - building:
            await asyncio.to_thread(shutil.rmtree, self._clones / ids[deployment], ignore_errors=True)


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
