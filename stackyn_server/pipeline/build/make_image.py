"""Job `image`: make one base image, which deployments wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.jobs import Kind
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.images.base_image_build import DEPLOYMENT, ImageNotMade
from stackyn_server.images.image_maker import ImageMaker
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.pipeline.build.disk import require_disk_space
from stackyn_server.store import jobs
from stackyn_server.store.claims import NotRunning
from stackyn_server.store.database import Database
from stackyn_server.store.installation import LeadershipLost

log = structlog.get_logger()


class MakeImage:
    """The handler of `image` jobs. The transaction that ends a job wakes the builds that wait for its image."""

    def __init__(self, database: Database, make: Callable[[str], Awaitable[None]]) -> None:
        self._database = database
        self._make = make

    async def __call__(self, job: JobRun) -> None:
        name = job.job.subject
        try:
            await job.until_cancelled(self._make(name))
        except (JobCancelled, NotRunning, LeadershipLost):
            raise
        except StackynError as error:
            if error.retryable and job.next_attempt() is not None:
                raise
            log.error("image.not_made", image=name, reason=error.message, notes=error.notes)
            await self._give_up(job, error.message)
        except Exception:
            log.exception("image.broke", image=name)
            await self._give_up(job, "The platform failed while it made this image.")
        else:
            async with self._database.transaction() as connection:
                await job.finish(connection)
                await jobs.wake_waiting_for(connection, Kind.BUILD, name)

    async def _give_up(self, job: JobRun, reason: str) -> None:
        async with self._database.transaction() as connection:
            await job.mark_dead(connection, reason)
            await jobs.wake_waiting_for(connection, Kind.BUILD, job.job.subject)


class MadeHere:
    """Makes an image in a builder of this server. An image of a registry is never made from packages instead."""

    def __init__(
        self, settings: Settings, engine: Engine, builder: Builder, registry: RegistryAvailability
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._builder = builder
        self._registry = registry

    async def make(self, name: str) -> None:
        """Raises `ImageNotMade`, `NeedsRegistry`, `NoSuchImage`, `TransientFailure` when the disk is full,
        `EngineUnavailable`."""
        images, seconds = self._settings.images, self._settings.deadlines.preparing
        await require_disk_space(
            (images.directory, self._engine.facts.root), self._settings.builds.free_disk_mb
        )
        maker = ImageMaker(
            self._engine, self._settings, _Logged(), registry=self._registry, may_go_without=False
        )
        await self._builder.remove_leftovers()  # of a server that was killed
        try:
            with self._builder.is_running(DEPLOYMENT):
                async with asyncio.timeout(seconds) as limit:
                    await maker.make([name])
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ImageNotMade(f"{name} was not made within {seconds:.0f} s.") from error


class _Logged:
    """The steps of making an image, in the operator's log."""

    def say(self, sentence: str) -> None:
        log.info("image.said", sentence=sentence)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        log.info("image.step", title=title, seconds=round(time.monotonic() - began, 1))
