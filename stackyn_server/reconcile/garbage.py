"""What nobody needs any more: by label and record, never host-wide."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence, Set
from datetime import UTC, datetime
from pathlib import Path

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import AppId
from stackyn_server.engine import containers, images, release_containers
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.client import Engine
from stackyn_server.images.layout import Layout
from stackyn_server.images.recipes import FIRST, FIRST_ROOTS
from stackyn_server.jobs.run import JobRun
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
)
from stackyn_server.store.database import Database

log = structlog.get_logger()

_ROWS_AT_ONCE = 1000
_SAMPLES_AT_ONCE = 50_000
_SECONDS_PER_DAY = 86_400.0


class Garbage:
    """Run on a period. Everything it takes is safe to have been taken already."""

    def __init__(
        self, settings: config.Settings, database: Database, engine: Engine, builder: Builder, clones: Path
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._builder = builder
        self._clones = clones

    async def collect(self, _: JobRun) -> None:
        await self._forget_apps()
        await self._images_beyond_rollback()
        await self._images_and_rows()
        await self._what_builds_left()
        await self._unused_base_images()
        await self._what_release_commands_left()
        await self._clones_of_ended()
        await self._old_rows()
        await self._old_samples()

    async def _old_rows(self) -> None:
        async with self._database.transaction() as connection:
            await jobs.purge(connection, self._settings.jobs.keep_days, _ROWS_AT_ONCE)
            await instances.purge(connection, self._settings.jobs.keep_days, _ROWS_AT_ONCE)
            await events.purge(connection, self._settings.reconcile.event_days, _ROWS_AT_ONCE)
            kept_seconds = self._settings.auth.keep_days * _SECONDS_PER_DAY
            await sessions.forget(connection, kept_seconds)
            await codes.forget(connection, kept_seconds)
        keep = self._settings.apps.log_keep_bytes
        async with self._database.connection() as connection:
            too_long = await logs.longer_than(connection, keep)
        for app, kind in too_long:
            async with self._database.transaction() as connection:
                await logs.trim(connection, app, kind, keep)

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
        """Recorded first and under the app's lock, so that nobody is offered what is about to go."""
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

    async def _images_and_rows(self) -> None:
        """The engine is asked between the rows: what is built meanwhile is taken neither for lost nor for needless."""
        async with self._database.connection() as connection:
            offered = await releases.images_offered(connection)
        present = await images.present(self._engine)
        await self._forget_lost(offered, {image.id for image in present})
        await self._remove_needless([image for image in present if image.deployment is not None])

    async def _forget_lost(self, offered: Sequence[tuple[AppId, str]], present: Set[str]) -> None:
        """A release whose image somebody removed by hand is not offered any more."""
        for app, image in offered:
            if image not in present:
                log.warning("image.lost", app=app, image=image)
                async with self._database.transaction() as connection:
                    await releases.image_removed(connection, app, image)

    async def _remove_needless(self, present: Sequence[images.PresentImage]) -> None:
        """What a crash or a forgotten app left behind."""
        async with self._database.connection() as connection:
            needed = await releases.images_needed(connection)
            unfinished = await deployments.unfinished(connection)
        kept = {image.deployment for image in present if image.id in needed} | unfinished
        for image in present:
            if image.deployment not in kept and await images.remove(self._engine, image.id):
                log.info("image.removed", app=image.app, image=image.id)

    async def _what_builds_left(self) -> None:
        await self._builder.remove_leftovers()
        await self._builder.free_left_by_pulls()
        async with self._database.connection() as connection:
            tenants = await apps.tenants(connection)
        await self._builder.tidy_caches(tenants, datetime.now(UTC))

    async def _unused_base_images(self) -> None:
        """Those that were made for deployments; the first ones stay, and what `[images]` names."""
        chosen = self._settings.images
        layout = Layout(chosen.directory)
        if not await asyncio.to_thread(layout.folder.is_dir):
            return
        kept = {*FIRST, *FIRST_ROOTS, chosen.python, chosen.node, chosen.static}
        unused = await asyncio.to_thread(layout.unused, chosen.keep_days * _SECONDS_PER_DAY)
        names = [name for name in unused if name not in kept]
        if names:
            await asyncio.to_thread(layout.remove, names)
            log.info("base_images.removed", images=names)
        await asyncio.to_thread(layout.prune)

    async def _what_release_commands_left(self) -> None:
        """The engine first: what is begun meanwhile belongs to a deployment that is not finished."""
        listed = await release_containers.list_all(self._engine)
        async with self._database.connection() as connection:
            unfinished = await deployments.unfinished(connection)
        for one in listed:
            if one.deployment not in unfinished:
                await containers.force_remove(self._engine, one.id)
                log.info("release_command.removed", container=one.name)

    async def _clones_of_ended(self) -> None:
        names = await asyncio.to_thread(_names, self._clones)
        ids = {int(name[1:]): name for name in names if name[:1] == "d" and name[1:].isdecimal()}
        async with self._database.connection() as connection:
            building = await deployments.needing_clone(connection, list(ids))
        for deployment in ids.keys() - building:
            await asyncio.to_thread(shutil.rmtree, self._clones / ids[deployment], ignore_errors=True)


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
