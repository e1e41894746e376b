"""The disk of one build, watched while it runs: nothing in the kernel limits what a volume takes.

Looking at the file system costs nothing, counting files does. A build can have passed its limit only when the file
system has lost what was left of it, so that is when its files are counted. They are also counted on a period, because
others on the same file system free room. It is paused meanwhile: else it would write on for as long as that takes, and
make it take longer.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.engine.builder.build_failures import disk_full
from stackyn_server.engine.container_disk import MIN_FILE_BYTES, DiskUsage, measure_folders

LOOK_SECONDS = 0.5
COUNT_SECONDS = 15.0
# At least so many times as long as a count takes lies between two on the period: builds are paused for a tenth of it.
_RUNS_PER_COUNT = 9
NOTHING = DiskUsage(0, 0)
_MEBIBYTE = 1024 * 1024

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DiskLimits:
    """For one build: what its folder may hold, and what must stay free on its file system. Units: MiB, files."""

    disk_mb: int
    max_files: int
    free_disk_mb: int

    @property
    def free_files(self) -> int:
        return self.free_disk_mb * _MEBIBYTE // MIN_FILE_BYTES


@dataclass(frozen=True, slots=True)
class _Free:
    bytes: int
    files: int  # any number where the file system makes room for files as it goes


Pause = Callable[[], AbstractAsyncContextManager[None]]


async def run_within_limits(
    folder: Path,
    limits: DiskLimits,
    pause: Pause,
    work: Coroutine[None, None, T],
    others: DiskUsage = NOTHING,
) -> T:
    """Do `work`, and end it when it fills the disk. Raises `DeploymentFailed` with BUILD_DISK then. `pause` keeps it
    from writing until its block is left. `others` is what the folder has from before, and is no part of the build."""
    working = asyncio.create_task(work, name="build.run")
    watching = asyncio.create_task(_watch(folder, limits, others, pause), name="build.disk")
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await watching  # it has only one end
        return await working
    finally:
        for task in (watching, working):
            task.cancel()
        await asyncio.wait((working, watching))


async def _watch(folder: Path, limits: DiskLimits, others: DiskUsage, pause: Pause) -> None:
    """Raise `DeploymentFailed` as soon as a limit is passed; never return."""
    most = DiskUsage(limits.disk_mb * _MEBIBYTE + others.bytes, limits.max_files + others.files)
    then = await asyncio.to_thread(_free, folder)
    counted, counted_at, took, rested_at = DiskUsage(0, 0), -math.inf, 0.0, -math.inf
    while True:
        now = await asyncio.to_thread(_free, folder)
        if now.bytes < limits.free_disk_mb * _MEBIBYTE or now.files < limits.free_files:
            raise disk_full()
        may_have_passed = (
            counted.bytes + then.bytes - now.bytes > most.bytes
            or counted.files + then.files - now.files > most.files
        )
        began_at = time.monotonic()
        is_due = began_at - counted_at > max(COUNT_SECONDS, _RUNS_PER_COUNT * took)
        if is_due or (may_have_passed and began_at >= rested_at):
            is_first = counted_at == -math.inf  # the build has written nothing yet
            async with nullcontext() if is_first else pause():
                then = await asyncio.to_thread(_free, folder)
                counted = await asyncio.to_thread(measure_folders, [folder], most)
                if counted.bytes > most.bytes or counted.files > most.files:
                    log.info("build.disk_limit", bytes=counted.bytes, files=counted.files)
                    raise _too_large(limits, by_files=counted.bytes <= most.bytes)
            counted_at = time.monotonic()
            took = counted_at - began_at
            # Where it was others who filled the disk, counting may not keep a processor busy.
            rested_at = counted_at + (took if may_have_passed else 0.0)
        await asyncio.sleep(LOOK_SECONDS)


def _too_large(limits: DiskLimits, *, by_files: bool) -> DeploymentFailed:
    most = f"{limits.max_files} files" if by_files else f"{limits.disk_mb} MiB"
    return DeploymentFailed(
        Failure(
            FailureCode.BUILD_DISK,
            f"The build was ended because it wrote more than a build may, together with its cache: {most}.",
            "Make the build write less, or ask the operator for a higher build limit.",
        )
    )


def _free(folder: Path) -> _Free:
    found = os.statvfs(folder)
    return _Free(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else sys.maxsize)
