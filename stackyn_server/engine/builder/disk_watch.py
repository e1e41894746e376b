"""Watch the disk usage of a build while it runs: the kernel limits no volume.

Reading the free space costs nothing, counting files does. A build can have passed its limit only when the file system
has lost as much free space as the limit left, so its files are counted then. They are also counted on a period, because
other programs free space on the same file system. The build is paused during a count: otherwise it would write on, and
make the count take longer.
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

from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.engine.builder.build_failures import disk_full
from stackyn_server.engine.container_disk import MIN_FILE_BYTES, DiskUsage, measure_folders

LOOK_SECONDS = 0.5
COUNT_SECONDS = 15.0
# The least pause between two periodic counts, as a multiple of a count's duration: builds are paused 10% of the time.
_RUNS_PER_COUNT = 9
NOTHING = DiskUsage(0, 0)
_MEBIBYTE = 1024 * 1024

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DiskLimits:
    """Limits of one build's folder, and what must stay free on its file system. Units: MiB, files."""

    disk_mb: int
    max_files: int
    free_disk_mb: int


@dataclass(frozen=True, slots=True)
class _Free:
    bytes: int
    files: int  # sys.maxsize where the file system has no fixed number of inodes


Pause = Callable[[], AbstractAsyncContextManager[None]]


async def run_within_limits(
    folder: Path,
    limits: DiskLimits,
    pause: Pause,
    work: Coroutine[None, None, T],
    earlier_files: DiskUsage = NOTHING,
) -> T:
    """Run `work`, and cancel it when it passes a limit; then raise `DeploymentFailed` with BUILD_DISK. `pause` pauses
    it until its block is left. `earlier_files` are in the folder already, and do not count as the build's."""
    working = asyncio.create_task(work, name="build.run")
    watching = asyncio.create_task(_watch(folder, limits, earlier_files, pause), name="build.disk")
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await watching  # ends only by raising
        return await working
    finally:
        for task in (watching, working):
            task.cancel()
        await asyncio.wait((working, watching))


async def _watch(folder: Path, limits: DiskLimits, earlier_files: DiskUsage, pause: Pause) -> None:
    """Raise `DeploymentFailed` when a limit is passed. Never returns."""
    most = DiskUsage(limits.disk_mb * _MEBIBYTE + earlier_files.bytes, limits.max_files + earlier_files.files)
    free_bytes = limits.free_disk_mb * _MEBIBYTE
    free_before = await asyncio.to_thread(_free, folder)
    counted, counted_at, count_seconds, rested_at = NOTHING, -math.inf, 0.0, -math.inf
    while True:
        free_now = await asyncio.to_thread(_free, folder)
        if free_now.bytes < free_bytes or free_now.files < free_bytes // MIN_FILE_BYTES:
            raise disk_full()
        may_have_passed = (
            counted.bytes + free_before.bytes - free_now.bytes > most.bytes
            or counted.files + free_before.files - free_now.files > most.files
        )
        began_at = time.monotonic()
        is_due = began_at - counted_at > max(COUNT_SECONDS, _RUNS_PER_COUNT * count_seconds)
        if is_due or (may_have_passed and began_at >= rested_at):
            is_first = counted_at == -math.inf  # the build has written nothing yet
            async with nullcontext() if is_first else pause():
                free_before = await asyncio.to_thread(_free, folder)
                counted = await asyncio.to_thread(measure_folders, [folder], most)
                if counted.bytes > most.bytes or counted.files > most.files:
                    log.info("build.disk_limit", bytes=counted.bytes, files=counted.files)
                    raise _too_large(limits, by_files=counted.bytes <= most.bytes)
            counted_at = time.monotonic()
            count_seconds = counted_at - began_at
            # When other programs filled the disk, counting must not keep a processor busy.
            rested_at = counted_at + (count_seconds if may_have_passed else 0.0)
        await asyncio.sleep(LOOK_SECONDS)


def _too_large(limits: DiskLimits, *, by_files: bool) -> DeploymentFailed:
    most = f"{limits.max_files} files" if by_files else f"{limits.disk_mb} MiB"
    return DeploymentFailed.of(
        FailureCode.BUILD_DISK,
        f"The build was ended because it wrote more than a build may, together with its cache: {most}.",
        "Make the build write less, or ask the operator for a higher build limit.",
    )


def _free(folder: Path) -> _Free:
    state = os.statvfs(folder)
    return _Free(state.f_bavail * state.f_frsize, state.f_favail if state.f_files else sys.maxsize)
