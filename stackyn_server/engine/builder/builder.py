"""Run one build: prepare its cache, run the builder, transfer the image into the engine."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from functools import partial

import structlog

from stackyn_server import config
from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.domain.ids import DeploymentId, UserId
from stackyn_server.engine import containers, firewall, images
from stackyn_server.engine.builder import NO_DAEMON, builder_container, caches
from stackyn_server.engine.builder.arguments import (
    arguments,
    control_tar,
    daemon_configuration,
    uses_built_in_frontend,
)
from stackyn_server.engine.builder.base_image_index import BaseImages
from stackyn_server.engine.builder.build_failures import (
    cache_damaged,
    failure_of,
    is_cache_damaged,
    log_ending,
)
from stackyn_server.engine.builder.build_log_writer import BuildLogWriter
from stackyn_server.engine.builder.builder_container import BuilderSpec
from stackyn_server.engine.builder.builder_run import BuilderExit, run_builder
from stackyn_server.engine.builder.buildkit_progress import BuildkitProgress
from stackyn_server.engine.builder.caches import Cache, CachePlaces, CacheQuota
from stackyn_server.engine.builder.disk_watch import DiskLimits, run_within_limits
from stackyn_server.engine.builder.image_config import machine_architecture
from stackyn_server.engine.builder.image_contents import ImageLimits
from stackyn_server.engine.builder.image_transfer import TransferredImage, transfer_image
from stackyn_server.engine.builder.pulls import Pulls
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.builder.registry_config import registry_tables
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_disk import DiskUsage, measure_folders
from stackyn_server.engine.errors import EngineUnavailable
from stackyn_server.engine.labels import Role

_MEBIBYTE = 1024 * 1024

log = structlog.get_logger()

WriteLine = Callable[[str], None]


class Builder:
    """The builds of this process. It keeps track of the running builds and of the caches that they use."""

    def __init__(self, engine: Engine, settings: config.Settings, registry: RegistryAvailability) -> None:
        self._engine = engine
        self._settings = settings
        self._registry = registry
        self._places = CachePlaces()
        self._pulls = Pulls()
        self._running: set[DeploymentId] = set()
        self._sizes: dict[Cache, int] = {}
        self._dropping: dict[asyncio.Task[None], UserId] = {}

    async def build(
        self, request: BuildRequest, context: AsyncIterator[bytes], write_line: WriteLine
    ) -> TransferredImage:
        """Build the tar stream `context`, whose members are below `context/`, and return the image that the engine has.

        Raises `DeploymentFailed` (BUILD_FAILED, BUILD_OUT_OF_MEMORY, BUILD_DISK, DOCKERFILE_INVALID) with the last
        lines as evidence, `BuildsNotRestricted`, `TransientFailure` for a registry in trouble, `EngineUnavailable`; an
        error of `context` is passed on unchanged. Cancelling ends the build. When it returns or raises, the container
        is removed.
        """
        with self.is_running(request.deployment):
            await self.remove_leftovers()
            base_images = await asyncio.to_thread(BaseImages.read, self._settings.images.directory)
            await firewall.restrict_builds(self._engine, self._settings.builds.allowed_private)
            async with self._cache(request) as cache:
                await self._run(request, base_images, cache, context, write_line)
                return await self._transfer(request, base_images, cache)

    async def build_inputs(self) -> tuple[Mapping[str, str], str]:
        """Return what builds depend on besides their own files: the digests of the base images by name, and the id of
        the builder image. Raises `BaseImagesUnusable`, `EngineUnavailable`."""
        base_images = await asyncio.to_thread(BaseImages.read, self._settings.images.directory)
        builder_image = await images.inspect(self._engine, self._settings.images.builder)
        return base_images.digests, builder_image.id if builder_image else ""

    async def remove_leftovers(self) -> list[str]:
        """Remove the builder containers of builds that do not run in this process, and return their names."""
        removed = []
        for listed in await containers.list_of_role(self._engine, Role.BUILDER):
            if listed.deployment not in self._running:
                await containers.force_remove(self._engine, listed.id)
                log.info("builder.removed", container=listed.name)
                removed.append(listed.name)
        return removed

    async def free_pull_leftovers(self) -> None:
        """Free what interrupted pulls left in the engine. Raises `EngineUnavailable`."""
        if await self._pulls.free_leftovers(self._engine):
            log.info("builder.pulls_freed")

    async def cache_sizes(self) -> dict[UserId, int]:
        """Return the bytes of each account's caches; only those are counted again that a build has used since."""
        most = self._settings.builds.cache_mb * _MEBIBYTE
        self._sizes = {cache: await self._size(cache) for cache in await caches.list_all(self._engine)}
        sizes = Counter[UserId]()
        for cache, size in self._sizes.items():
            sizes[cache.tenant] += min(size, most)
        return dict(sizes)

    async def remove_surplus_caches(self, tenants: Mapping[UserId, int], now: datetime) -> list[str]:
        """Remove caches of accounts not in `tenants`, old caches, and caches over quota: that of all accounts, and the
        bytes that `tenants` says an account may use. Return their names."""
        builds = self._settings.builds
        quota = CacheQuota(
            builds.cache_mb * _MEBIBYTE,
            builds.cache_total_mb * _MEBIBYTE,
            timedelta(days=builds.cache_days),
        )
        existing = await caches.list_all(self._engine)
        for cache in existing:
            with self._places.without_builds(cache.tenant, cache.place) as is_free:
                if is_free:  # remains of a build whose server was killed
                    await caches.remove_build_remains(cache)
                    await caches.finish_removal(cache.folder)
        sizes = {cache: await self._size(cache) for cache in existing}
        self._sizes = sizes
        removed = []
        for cache in caches.over_quota(sizes.items(), tenants, quota, now):
            with self._places.without_builds(cache.tenant, cache.place) as is_free:
                if is_free and await caches.remove(self._engine, cache):
                    log.info("cache.removed", cache=cache.name, bytes=sizes[cache])
                    removed.append(cache.name)
        return removed

    async def _size(self, cache: Cache) -> int:
        """Return the size in bytes, counted again only after a build has used the cache."""
        if cache in self._sizes:
            return self._sizes[cache]
        builds = self._settings.builds
        enough = DiskUsage(builds.cache_mb * _MEBIBYTE, builds.max_files)
        counted = await asyncio.to_thread(measure_folders, [cache.folder], enough)
        return sys.maxsize if counted.files > enough.files else counted.bytes

    @contextmanager
    def is_running(self, deployment: DeploymentId) -> Iterator[None]:
        """Mark a deployment's build as running, so that `remove_leftovers` keeps its container."""
        self._running.add(deployment)
        try:
            yield
        finally:
            self._running.discard(deployment)

    @asynccontextmanager
    async def _cache(self, request: BuildRequest) -> AsyncIterator[Cache]:
        """Hold a cache. A cache that filled the disk, is damaged, or lets no daemon start, is dropped; its tenant's
        next build waits until it is removed."""
        await self._dropped(request.tenant)
        with ExitStack() as place_held:
            place = place_held.enter_context(self._places.place(request.tenant))
            cache = await caches.ensure(self._engine, request.tenant, place)
            try:
                try:
                    yield cache
                finally:
                    await asyncio.shield(caches.remove_build_remains(cache))
            except _CacheUnusable as unusable:
                self._drop(cache, place_held.pop_all())
                raise unusable.error from None

    def _drop(self, cache: Cache, place_held: ExitStack) -> None:
        """Remove a cache and then free its place, in a task: removal can take minutes, and the build's failure is
        reported without waiting for it."""

        async def drop() -> None:
            with place_held:
                try:
                    await caches.remove(self._engine, cache)
                except EngineUnavailable as error:
                    # `remove_surplus_caches` removes it later.
                    log.warning("cache.not_removed", cache=cache.name, error=str(error))

        dropping = asyncio.create_task(drop(), name="cache.drop")
        self._dropping[dropping] = cache.tenant
        dropping.add_done_callback(self._dropping.pop)

    async def _dropped(self, tenant: UserId) -> None:
        """Wait until no cache of the tenant is being dropped."""
        if dropping := [task for task, owner in self._dropping.items() if owner == tenant]:
            await asyncio.wait(dropping)

    async def _run(
        self,
        request: BuildRequest,
        base_images: BaseImages,
        cache: Cache,
        context: AsyncIterator[bytes],
        write_line: WriteLine,
    ) -> None:
        has_registry = await self._registry.is_reachable()
        if request.syntax and uses_built_in_frontend(request.syntax, has_registry=has_registry):
            write_line(
                f"No registry can be reached: instead of {request.syntax} the builder's own reads the Dockerfile."
            )
        buildctl_arguments = arguments(request, base_images.digests, has_registry=has_registry)
        builds = self._settings.builds
        # Half of the quota: one build may then add as much again.
        configuration = daemon_configuration(machine_architecture(), builds.cache_mb // 2)
        configuration += registry_tables(builds.mirrors, builds.plain_http_registries)
        control = control_tar(buildctl_arguments, configuration, request)
        progress = BuildkitProgress()
        log_writer = BuildLogWriter(progress, write_line)
        limits = DiskLimits(builds.disk_mb, builds.max_files, builds.free_disk_mb)
        pause = partial(builder_container.paused, self._engine, request.deployment)
        no_limit = DiskUsage(sys.maxsize, sys.maxsize)
        leftovers = await asyncio.to_thread(caches.pending_removals, cache.folder)
        earlier_files = await asyncio.to_thread(measure_folders, leftovers, no_limit)
        running = run_builder(
            self._engine, self._spec(request, base_images, cache), control, context, log_writer.feed
        )
        try:
            ended = await run_within_limits(cache.folder, limits, pause, running, earlier_files)
        except DeploymentFailed as error:
            if error.failure.code is FailureCode.BUILD_DISK:
                raise _CacheUnusable(error) from error
            raise
        await log_writer.finish()
        if ended.exit_code != 0:
            raise await self._explained(ended, progress, cache, write_line)

    async def _explained(
        self, ended: BuilderExit, progress: BuildkitProgress, cache: Cache, write_line: WriteLine
    ) -> Exception:
        if is_cache_damaged(progress):
            log.warning("cache.damaged", cache=cache.name, problem=progress.problem)
            return _CacheUnusable(cache_damaged())
        for line in log_ending(progress):
            write_line(line)
        error = await asyncio.to_thread(failure_of, ended, progress, self._settings.builds.allowed_private)
        if ended.exit_code == NO_DAEMON:
            return _CacheUnusable(error)
        return error

    async def _transfer(
        self, request: BuildRequest, base_images: BaseImages, cache: Cache
    ) -> TransferredImage:
        builds = self._settings.builds
        async with self._pulls.pulling():
            return await transfer_image(
                self._engine,
                cache.folder / caches.OUT,
                base_images,
                labels=self._engine.labels.app_image(request.app, request.deployment),
                tag=request.tag,
                limits=ImageLimits(builds.image_mb * _MEBIBYTE, builds.max_files),
            )

    def _spec(self, request: BuildRequest, base_images: BaseImages, cache: Cache) -> BuilderSpec:
        builds = self._settings.builds
        environment = {
            "BUILDKIT_STEP_LOG_MAX_SIZE": str(builds.log_limit_bytes),
            "BUILDKIT_STEP_LOG_MAX_SPEED": "-1",
        }
        return BuilderSpec(
            app=request.app,
            deployment=request.deployment,
            tenant=request.tenant,
            image=self._settings.images.builder,
            network=request.network,
            cache=cache,
            base_images=base_images.directory,
            limits=request.limits,
            environment=environment,
        )


class _CacheUnusable(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
