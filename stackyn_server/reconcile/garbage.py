"""Removes what is not needed any more: rows, images, containers and clones of this installation only."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence, Set
from datetime import UTC, datetime
from pathlib import Path

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import AppId
from stackyn_server.engine import containers, images
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.client import Engine
from stackyn_server.engine.labels import Role
from stackyn_server.images.base_image_store import BaseImageStore
from stackyn_server.images.recipes import INITIAL_IMAGES, INITIAL_ROOTS
from stackyn_server.jobs.run import JobRun
from stackyn_server.source.clones import deployments_in
from stackyn_server.store import (
    apps,
    codes,
    deployments,
    events,
    instances,
    jobs,
    logs,
    releases,
    samples,
    sessions,
    tokens,
)
from stackyn_server.store.database import Database

log = structlog.get_logger()

_ROWS_AT_ONCE = 1000
_SAMPLES_AT_ONCE = 50_000
_SECONDS_PER_DAY = 86_400.0


class GarbageCollector:
    """Run on a period. Each step is idempotent."""

    def __init__(
        self, settings: config.Settings, database: Database, engine: Engine, builder: Builder, clones: Path
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._builder = builder
        self._clones = clones
        self._logs_measured_until = 0  # id of a chunk

    async def collect(self, _: JobRun) -> None:
        await self._forget_deleted_apps()
        await self._remove_images_beyond_rollback()
        await self._match_images_with_rows()
        await self._remove_leftovers_of_builds()
        await self._remove_unused_base_images()
        await self._remove_leftovers_of_release_commands()
        await self._remove_clones_of_ended_builds()
        await self._remove_old_rows()
        await self._condense_old_samples()

    async def _remove_old_rows(self) -> None:
        async with self._database.transaction() as connection:
            await jobs.purge(connection, self._settings.jobs.keep_days, _ROWS_AT_ONCE)
            await instances.purge(connection, self._settings.jobs.keep_days, _ROWS_AT_ONCE)
            await events.purge(connection, self._settings.reconcile.event_days, _ROWS_AT_ONCE)
            kept_seconds = self._settings.auth.keep_days * _SECONDS_PER_DAY
            await sessions.forget(connection, kept_seconds)
            await codes.forget(connection, kept_seconds)
            await tokens.forget(connection, kept_seconds)
        await self._trim_long_logs()

    async def _trim_long_logs(self) -> None:
        """Measure only logs that have grown since the last pass; the first pass measures all."""
        keep = self._settings.apps.log_keep_bytes
        async with self._database.connection() as connection:
            newest = await logs.newest_id(connection)
            too_long = await logs.longer_than(connection, keep, since=self._logs_measured_until)
        for app, kind in too_long:
            async with self._database.transaction() as connection:
                await logs.trim(connection, app, kind, keep)
        self._logs_measured_until = newest

    async def _forget_deleted_apps(self) -> None:
        """Free the addresses of a deleted app once no proxy can still hold a request for it."""
        async with self._database.transaction() as connection:
            quarantine = self._settings.hold.seconds + self._settings.network.quarantine_seconds
            forgotten = await apps.forget(connection, quarantine)
        if forgotten:
            log.info("apps.forgotten", apps=forgotten)

    async def _condense_old_samples(self) -> None:
        """Merge samples older than `keep_hours`, and remove those older than `coarse_days`."""
        limits = self._settings.samples
        async with self._database.transaction() as connection:
            await samples.condense(
                connection,
                older_than_seconds=limits.keep_hours * 3600,
                step_seconds=limits.coarse_seconds,
                limit=_SAMPLES_AT_ONCE,
            )
            await samples.purge(connection, limits.coarse_days)

    async def _remove_images_beyond_rollback(self) -> None:
        """Record the removal before it happens, under the app's lock: no rollback to a removed image is offered."""
        keep = self._settings.apps.keep_releases
        async with self._database.connection() as connection:
            surplus = await releases.images_to_remove(connection, keep)
        for app, image in surplus:
            async with self._database.transaction() as connection:
                await apps.lock(connection, app, None)
                if (app, image) not in await releases.images_to_remove(connection, keep, app):
                    continue
                await releases.image_removed(connection, app, image)
            if await images.remove(self._engine, image):
                log.info("image.removed", app=app, image=image)

    async def _match_images_with_rows(self) -> None:
        """List the engine's images between two reads of the rows.

        In this order, an image that is built meanwhile is taken neither for a lost one nor for an unneeded one.
        """
        async with self._database.connection() as connection:
            offered = await releases.images_offered(connection)
        present = await images.present(self._engine)
        await self._record_lost_images(offered, {image.id for image in present})
        await self._remove_unneeded_images([image for image in present if image.deployment is not None])

    async def _record_lost_images(self, offered: Sequence[tuple[AppId, str]], present: Set[str]) -> None:
        """Stop offering releases whose image was removed by hand."""
        for app, image in offered:
            if image not in present:
                log.warning("image.lost", app=app, image=image)
                async with self._database.transaction() as connection:
                    await releases.image_removed(connection, app, image)

    async def _remove_unneeded_images(self, present: Sequence[images.PresentImage]) -> None:
        """Remove the images that a crash or a deleted app left behind."""
        async with self._database.connection() as connection:
            needed = await releases.images_needed(connection)
            unfinished = await deployments.unfinished(connection)
        kept = {image.deployment for image in present if image.id in needed} | unfinished
        for image in present:
            if image.deployment not in kept and await images.remove(self._engine, image.id):
                log.info("image.removed", app=image.app, image=image.id)

    async def _remove_leftovers_of_builds(self) -> None:
        await self._builder.remove_leftovers()
        await self._builder.free_pull_leftovers()
        async with self._database.connection() as connection:
            tenants = await apps.tenants(connection)
        await self._builder.remove_surplus_caches(tenants, datetime.now(UTC))

    async def _remove_unused_base_images(self) -> None:
        """Remove unused base images, except the first ones and those that `[images]` names."""
        settings = self._settings.images
        image_store = BaseImageStore(settings.directory)
        if not await asyncio.to_thread(image_store.folder.is_dir):
            return
        kept = {*INITIAL_IMAGES, *INITIAL_ROOTS, settings.python, settings.node, settings.static}
        unused = await asyncio.to_thread(image_store.unused, settings.keep_days * _SECONDS_PER_DAY)
        names = [name for name in unused if name not in kept]
        if names:
            await asyncio.to_thread(image_store.remove, names)
            log.info("base_images.removed", images=names)
        await asyncio.to_thread(image_store.prune)

    async def _remove_leftovers_of_release_commands(self) -> None:
        """List the containers before the deployments: one that starts meanwhile belongs to an unfinished deployment."""
        listed = await containers.list_of_role(self._engine, Role.RELEASE)
        async with self._database.connection() as connection:
            unfinished = await deployments.unfinished(connection)
        for container in listed:
            if container.deployment not in unfinished:
                await containers.force_remove(self._engine, container.id)
                log.info("release_command.removed", container=container.name)

    async def _remove_clones_of_ended_builds(self) -> None:
        names = await asyncio.to_thread(_file_names, self._clones)
        ids = deployments_in(names)
        async with self._database.connection() as connection:
            building = await deployments.needing_clone(connection, list(ids))
        for deployment in ids.keys() - building:
            await asyncio.to_thread(shutil.rmtree, self._clones / ids[deployment], ignore_errors=True)


def _file_names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
