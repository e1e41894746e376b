"""Check whether the sealed builder can run on this machine, with one build in a container like a tenant's.

The builder needs user namespaces for programs that are not root, mounts and a /proc of their own in them, and overlays
without root (Linux 5.11). Hardened machines forbid some of these.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.engine.builder import caches
from stackyn_server.engine.builder.arguments import arguments, control_tar, daemon_configuration
from stackyn_server.engine.builder.base_image_index import BaseImages, BaseImagesUnusable
from stackyn_server.engine.builder.builder_container import BuilderSpec
from stackyn_server.engine.builder.builder_run import BuilderExit, run_builder
from stackyn_server.engine.builder.buildkit_progress import BuildkitProgress
from stackyn_server.engine.builder.caches import Cache
from stackyn_server.engine.builder.image_config import machine_architecture
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused

_KEEP_MB = 1024
_OVERLAY = "overlayfs"
_STORES = "buildkit/runc-*"  # BuildKit's folder for each snapshotter, in a cache
_SYSCTLS = Path("/proc/sys")
_LINE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class BuilderCheck:
    """`reason` and `hint` are "" when a build succeeded; without `has_overlay`, layers are copied for each step."""

    seconds: float
    reason: str = ""
    hint: str = ""
    has_overlay: bool = True


async def check_builder(engine: Engine, settings: Settings) -> BuilderCheck:
    """Build a tiny image with the builder image, which must exist, and remove everything again.

    A step is run only when there is a base image. Raises `EngineUnavailable`.
    """
    began = time.monotonic()
    base_images = await asyncio.to_thread(_base_images, settings.images.directory)
    for leftover in await caches.list_all(engine):
        await caches.remove(engine, leftover)
    cache = await caches.ensure(engine, UserId(uuid4()), 0)
    try:
        reason = await _build(engine, settings, base_images, cache)
        stores = await asyncio.to_thread(lambda: [store.name for store in cache.folder.glob(_STORES)])
    finally:
        await caches.remove(engine, cache)
    seconds = time.monotonic() - began
    if reason:
        return BuilderCheck(seconds, reason, await asyncio.to_thread(hint_for, reason))
    return BuilderCheck(seconds, has_overlay=any(name.endswith(_OVERLAY) for name in stores))


async def _build(engine: Engine, settings: Settings, base_images: BaseImages | None, cache: Cache) -> str:
    """Return the builder's error, "" when it succeeded."""
    digests = base_images.digests if base_images else {}
    base = min(digests, default="scratch")
    step = "RUN true" if digests else "COPY Dockerfile /"
    request = _request(settings)
    spec = BuilderSpec(
        app=None,
        deployment=request.deployment,
        tenant=request.tenant,
        image=settings.images.builder,
        network=request.network,
        cache=cache,
        base_images=base_images.directory if base_images else None,
        limits=request.limits,
    )
    control = control_tar(
        arguments(request, digests, has_registry=False),
        daemon_configuration(machine_architecture(), _KEEP_MB),
        request,
    )
    progress = BuildkitProgress()

    async def read_output(piece: bytes) -> None:
        for _ in progress.feed(piece):
            continue

    try:
        ended = await run_builder(engine, spec, control, _context(f"FROM {base}\n{step}\n"), read_output)
    except EngineRefused as refused:
        return refused.reason
    return "" if ended.exit_code == 0 else _error_line(ended, progress)


def hint_for(reason: str, sysctls: Path = _SYSCTLS) -> str:
    """Return what the operator can do about the error `reason`. Reads the kernel's settings."""
    for name, forbids, repair in _SETTINGS:
        if _read(sysctls / name) == forbids:
            return repair
    if "newuidmap" in reason or "newgidmap" in reason:
        return (
            "The builder image must keep the file capabilities of newuidmap: make it again with scripts/base-images, "
            "on a file system with extended attributes."
        )
    if "/proc/self/exe" in reason:
        return "This machine lets no program without root make user namespaces, by a security module or its kernel."
    return ""


_SETTINGS = (
    ("user/max_user_namespaces", "0", "Allow user namespaces: sysctl user.max_user_namespaces=15000"),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "Allow user namespaces: sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "Allow user namespaces to programs without an AppArmor profile: "
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def _read(setting: Path) -> str:
    """Return "" where the kernel has no such setting."""
    try:
        return setting.read_text().strip()
    except OSError:
        return ""


def _base_images(directory: Path) -> BaseImages | None:
    try:
        return BaseImages.read(directory)
    except BaseImagesUnusable:
        return None


def _request(settings: Settings) -> BuildRequest:
    builds = settings.builds
    return BuildRequest(
        app=AppId(0),
        deployment=DeploymentId(0),
        tenant=UserId(uuid4()),
        dockerfile="Dockerfile",
        network="none",
        memory_mb=builds.memory_mb,
        cpu=builds.cpu,
        max_processes=builds.max_processes,
        tag="",
    )


async def _context(dockerfile: str) -> AsyncIterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("context/Dockerfile")
        member.size, member.mode = len(dockerfile), 0o644
        archive.addfile(member, io.BytesIO(dockerfile.encode()))
    yield buffer.getvalue()


def _error_line(ended: BuilderExit, progress: BuildkitProgress) -> str:
    """Return the builder's error, else the daemon's last line."""
    text = progress.problem.text if progress.problem else ended.stdout_tail
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else f"exit code {ended.exit_code}")[:_LINE_CHARACTERS]
