"""Build one base image with the sealed builder: in the same container as a tenant's build, with our own context."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from uuid import UUID

from stackyn_server.config import Settings
from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.engine.builder import builder_container, caches
from stackyn_server.engine.builder.arguments import arguments, control_tar, daemon_configuration
from stackyn_server.engine.builder.build_failures import failure_of
from stackyn_server.engine.builder.build_log_writer import BuildLogWriter
from stackyn_server.engine.builder.builder_container import BuilderSpec
from stackyn_server.engine.builder.builder_run import run_builder
from stackyn_server.engine.builder.buildkit_progress import BuildkitProgress
from stackyn_server.engine.builder.caches import Cache
from stackyn_server.engine.builder.disk_watch import DiskLimits, run_within_limits
from stackyn_server.engine.builder.fetch_failures import lacks_base_image
from stackyn_server.engine.builder.registry_config import registry_tables
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import Absent
from stackyn_server.errors import StackynError
from stackyn_server.images.host_settings import HostSettings
from stackyn_server.images.recipes import FILES, ImageRecipe

DEPLOYMENT = DeploymentId(0)  # the deployment in the labels of our builder containers
VOLUME = "stackyn-base-images"
_NOBODY = UserId(UUID(int=0))
_KEEP_MB = 20_480
_MAX_PROCESSES = 4096
_VOLUME_SECONDS = 300  # a busy engine needs minutes to remove some GB of files


class ImageNotMade(StackynError):
    """The build failed. Its last lines are a note. A failed fetch may succeed the next time (`retryable`)."""

    code, retryable = "IMAGE_NOT_MADE", True


@asynccontextmanager
async def open_base_image_builder(engine: Engine, settings: Settings) -> AsyncIterator[BaseImageBuilder]:
    """Make a cache volume for images that are built together, and remove it after the block."""
    # The name depends on the folder: a server with another folder may make images on this machine at the same time.
    name = f"{VOLUME}-{hashlib.sha256(str(settings.images.directory).encode()).hexdigest()[:8]}"
    await _remove(engine, name)  # left by an earlier run that was killed
    created = await engine.request("POST", "volumes/create", body={"Name": name})
    try:
        architecture = (await engine.request("GET", "version"))["Arch"]
        cache = Cache(name, _NOBODY, 0, Path(created["Mountpoint"]), datetime.now(UTC))
        await caches.give_to_user(cache)
        yield BaseImageBuilder(engine, settings, architecture, cache)
    finally:
        await _remove(engine, name)


async def _remove(engine: Engine, volume: str) -> None:
    with suppress(Absent):
        await engine.request("DELETE", f"volumes/{volume}", seconds=_VOLUME_SECONDS)


@dataclass(frozen=True, slots=True)
class BaseImageBuilder:
    """Builds base images, one after the other. `architecture` is Go's name for it."""

    engine: Engine
    settings: Settings
    architecture: str
    cache: Cache

    async def build(
        self, recipe: ImageRecipe, host: HostSettings, below: Mapping[str, str], *, is_local: bool
    ) -> Path:
        """Build an image and return its OCI image layout, which the next build removes. Raises `ImageNotMade`.

        `below` are our images that it may start from: name → digest.
        """
        request = self._request()
        buildctl_arguments = arguments(request, below, has_registry=not is_local)
        builds = self.settings.builds
        configuration = daemon_configuration(self.architecture, _KEEP_MB)
        configuration += registry_tables(builds.mirrors, builds.plain_http_registries)
        control = control_tar(buildctl_arguments, configuration, request)
        context = await asyncio.to_thread(_context, recipe, host, is_local)
        progress = BuildkitProgress()
        log_writer = BuildLogWriter(progress, lambda _line: None)
        spec = BuilderSpec(
            app=None,
            deployment=request.deployment,
            tenant=request.tenant,
            image=self.settings.images.builder,
            network=request.network,
            cache=self.cache,
            base_images=self.settings.images.directory,
            limits=request.limits,
        )
        limits = DiskLimits(builds.disk_mb, builds.max_files, builds.free_disk_mb)
        pause = partial(builder_container.paused, self.engine, request.deployment)
        running = run_builder(self.engine, spec, control, _one_piece(context), log_writer.feed)
        try:
            ended = await run_within_limits(self.cache.folder, limits, pause, running)
        except DeploymentFailed as error:
            raise ImageNotMade(f"{recipe.name} was not made. {error.message}") from error
        await log_writer.finish()
        if ended.exit_code:
            # The sentence is written for tenants, but this Dockerfile is ours.
            reason = failure_of(ended, progress, builds.allowed_private)
            failed = ImageNotMade(
                f"{recipe.name} was not made. {reason.message}", retryable=not lacks_base_image(progress)
            )
            failed.add_note(reason.failure.evidence or progress.messages or ended.stdout_tail)
            raise failed
        return self.cache.folder / caches.OUT

    def _request(self) -> BuildRequest:
        return BuildRequest(
            app=AppId(0),
            deployment=DEPLOYMENT,
            tenant=_NOBODY,
            dockerfile="Dockerfile",
            network="host",  # the build is trusted, and the machine's name server may listen only on loopback
            memory_mb=self.settings.builds.memory_mb,
            cpu=self.engine.facts.processors,
            max_processes=_MAX_PROCESSES,
            tag="",
        )


async def _one_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _context(recipe: ImageRecipe, host: HostSettings, is_local: bool) -> bytes:
    """Return the tar of a build context, below `context/`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, PurePosixPath("Dockerfile"), recipe.dockerfile(is_local=is_local).encode(), 0o644)
        for path, content in host.files.items():
            _add(archive, "host" / path, content, 0o644)
        for file in recipe.context():
            mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
            _add(archive, PurePosixPath(file.relative_to(FILES)), file.read_bytes(), mode)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: PurePosixPath, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(f"context/{path}")
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))
