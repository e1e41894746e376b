"""Removes what is not needed any more: rows, images, containers and clones of this installation only."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog

from stackyn_server import config
from stackyn_server.domain.disk_use import DiskUse
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.engine import containers, images
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import ContainerSummary
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable
from stackyn_server.engine.labels import Role
from stackyn_server.errors import StackynError
from stackyn_server.images.base_image_store import BaseImageStore
from stackyn_server.images.recipes import INITIAL_IMAGES, INITIAL_ROOTS
from stackyn_server.jobs.run import JobRun
from stackyn_server.reconcile.old_rows import OldRows
from stackyn_server.source.clones import deployments_in
from stackyn_server.store import apps, deployments, disk_use, releases
from stackyn_server.store.database import Connection, Database

log = structlog.get_logger()

Item = TypeVar("Item")

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
        self._old_rows = OldRows(settings, database)
        self._measured: dict[UserId, DiskUse] = {}

    async def collect(self, _: JobRun) -> None:
        """Take every step, whatever the others raise, and raise the first error at the end. Rows come first: they need
        no engine."""
        errors = []
        for step in (
            self._old_rows.remove,
            self._measure_disk_use,
            self._remove_images_beyond_rollback,
            self._match_images_with_rows,
            self._remove_leftovers_of_builds,
            self._remove_unused_base_images,
            self._remove_leftovers_of_release_commands,
            self._remove_clones_of_ended_builds,
        ):
            try:
                await step()
            except StackynError as error:
                log.warning("garbage.left", step=step.__name__, reason=error.message, notes=error.notes)
                errors.append(error)
        if errors:
            raise errors[0]

    @staticmethod
    async def _each(items: Iterable[Item], work: Callable[[Item], Awaitable[None]]) -> None:
        """Do the work for each item. What the engine answers to one concerns no other: the first such error is raised
        at the end. An engine that doesn't answer ends the work."""
        errors: list[EngineRefused | EngineUnavailable] = []
        for item in items:
            try:
                await work(item)
            except (EngineRefused, EngineUnavailable) as error:
                if not error.was_answered:
                    raise
                errors.append(error)
        if errors:
            raise errors[0]

    async def _measure_disk_use(self) -> None:
        caches = await self._builder.cache_sizes()
        async with self._database.transaction() as connection:
            self._measured = await disk_use.measure(connection, caches)

    async def _disk_of_tenants(self, connection: Connection) -> dict[UserId, tuple[DiskUse, int]]:
        """Return what each account with living apps was last seen to occupy, and its plan's limit in MiB."""
        plans, default = self._settings.plans, self._settings.billing.default_plan
        return {
            tenant: (self._measured.get(tenant, DiskUse()), plans.get(plan, plans[default]).max_disk_mb)
            for tenant, plan in (await apps.tenant_plans(connection)).items()
        }

    async def _remove_images_beyond_rollback(self) -> None:
        """Record the removal before it happens, under the app's lock: no rollback to a removed image is offered.

        An account above its plan's disk keeps only the images of its newest releases.
        """
        keep = self._settings.apps.keep_releases
        async with self._database.connection() as connection:
            surplus = [(*found, keep) for found in await releases.images_to_remove(connection, keep)]
            for tenant, (use, limit_mb) in (await self._disk_of_tenants(connection)).items():
                for app in await apps.ids_of_tenant(connection, tenant) if use.is_over(limit_mb) else ():
                    found = await releases.images_to_remove(connection, 1, app)
                    surplus += [(app, image, 1) for app, image in found]

        async def remove(found: tuple[AppId, str, int]) -> None:
            app, image, keep = found
            async with self._database.transaction() as connection:
                await apps.lock(connection, app, None)
                if (app, image) not in await releases.images_to_remove(connection, keep, app):
                    return
                await releases.image_removed(connection, app, image)
            await self._remove_image(app, image)

        await self._each(surplus, remove)

    async def _remove_image(self, app: AppId | None, image: str) -> None:
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
        unneeded = [image for image in present if image.deployment not in kept]
        await self._each(unneeded, lambda image: self._remove_image(image.app, image.id))

    async def _remove_leftovers_of_builds(self) -> None:
        await self._builder.remove_leftovers()
        await self._builder.free_pull_leftovers()
        async with self._database.connection() as connection:
            disks = await self._disk_of_tenants(connection)
        left = {tenant: use.left_for_caches(limit_mb) for tenant, (use, limit_mb) in disks.items()}
        await self._builder.remove_surplus_caches(left, datetime.now(UTC))

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
        listed = await containers.list_of_role(self._engine, Role.RELEASE_COMMAND)
        async with self._database.connection() as connection:
            unfinished = await deployments.unfinished(connection)

        async def remove(container: ContainerSummary) -> None:
            await containers.force_remove(self._engine, container.id)
            log.info("release_command.removed", container=container.name)

        ended = [container for container in listed if container.deployment not in unfinished]
        await self._each(ended, remove)

    async def _remove_clones_of_ended_builds(self) -> None:
        names = await asyncio.to_thread(_file_names, self._clones)
        ids = deployments_in(names)
        async with self._database.connection() as connection:
            building = await deployments.needing_clone(connection, list(ids))
        for deployment in ids.keys() - building:
            await asyncio.to_thread(shutil.rmtree, self._clones / ids[deployment], ignore_errors=True)


def _file_names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
