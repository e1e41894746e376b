"""The disk of a build is counted when it may have passed its limit, and the build waits for that."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.engine import containers
from stackyn_server.engine.builder import builder_container, caches, disk_watch
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.disk_watch import DiskLimits, run_within_limits
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_disk import DiskUsage
from stackyn_server.engine.labels import Role
from tests.engine.building import in_mid_step
from tests.patience import within

LIMITS = DiskLimits(disk_mb=10, max_files=1000, free_disk_mb=1)
MEBIBYTE = 1024 * 1024


@pytest.fixture
def next_count(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """Return what waits for the end of a count that begins after the call."""
    count = disk_watch.measure_folders
    waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def counted(folders: Iterable[Path], enough: DiskUsage) -> DiskUsage:
        waiting_before = list(waiting)
        usage = count(folders, enough)
        for loop, event in waiting_before:
            loop.call_soon_threadsafe(event.set)
        return usage

    async def wait() -> None:
        event = asyncio.Event()
        waiting.append((asyncio.get_running_loop(), event))
        await event.wait()

    monkeypatch.setattr(disk_watch, "measure_folders", counted)
    return wait


async def test_build_is_paused_while_its_files_are_counted(
    tmp_path: Path, next_count: Callable[[], Awaitable[None]]
) -> None:
    happened = []

    @asynccontextmanager
    async def pause() -> AsyncIterator[None]:
        happened.append("paused")
        yield

    async def fill() -> None:
        await next_count()  # the first one, which pauses nothing
        happened.append("filled")
        await asyncio.to_thread((tmp_path / "file").write_bytes, bytes(100 * MEBIBYTE))
        await asyncio.Event().wait()

    with pytest.raises(DeploymentFailed) as caught:
        await run_within_limits(tmp_path, LIMITS, pause, fill())

    assert caught.value.failure.code is FailureCode.BUILD_DISK
    assert happened[:2] == ["filled", "paused"]


async def test_what_is_left_of_removed_caches_is_not_the_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, next_count: Callable[[], Awaitable[None]]
) -> None:
    """Removing one can be broken off, and what is left of it was charged to every later build."""
    monkeypatch.setattr(disk_watch, "COUNT_SECONDS", 0.0)
    monkeypatch.setattr(disk_watch, "LOOK_SECONDS", 0.01)
    leftover_usage = await asyncio.to_thread(_removals_broken_off, tmp_path)

    async def write(mebibytes: int, then: Callable[[], Awaitable[object]]) -> None:
        await asyncio.to_thread((tmp_path / "buildkit").write_bytes, bytes(mebibytes * MEBIBYTE))
        await then()

    await run_within_limits(tmp_path, LIMITS, nullcontext, write(8, next_count), leftover_usage)
    with pytest.raises(DeploymentFailed):
        await run_within_limits(
            tmp_path, LIMITS, nullcontext, write(12, asyncio.Event().wait), leftover_usage
        )


def _removals_broken_off(folder: Path) -> DiskUsage:
    for name in ("a", "b"):
        (folder / f"{caches.REMOVED_PREFIX}{name}").mkdir()
        (folder / f"{caches.REMOVED_PREFIX}{name}" / "layer").write_bytes(bytes(8 * MEBIBYTE))
    return disk_watch.measure_folders(caches.pending_removals(folder), DiskUsage(sys.maxsize, sys.maxsize))


async def test_build_is_paused_for_each_count_but_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only time has passed: a count that a build disturbs can take longer than filling the disk."""
    monkeypatch.setattr(disk_watch, "COUNT_SECONDS", 0.1)
    monkeypatch.setattr(disk_watch, "LOOK_SECONDS", 0.05)
    is_paused, seen = False, list[bool]()
    count, counted_often = disk_watch.measure_folders, asyncio.Event()
    loop = asyncio.get_running_loop()

    @asynccontextmanager
    async def pause() -> AsyncIterator[None]:
        nonlocal is_paused
        is_paused = True
        yield
        is_paused = False

    def counted(folders: Iterable[Path], enough: DiskUsage) -> DiskUsage:
        seen.append(is_paused)
        if len(seen) == 3:
            loop.call_soon_threadsafe(counted_often.set)
        return count(folders, enough)

    monkeypatch.setattr(disk_watch, "measure_folders", counted)

    async def work() -> None:
        await counted_often.wait()

    await run_within_limits(tmp_path, LIMITS, pause, work())

    assert seen[:3] == [False, True, True]


async def test_slow_counts_leave_a_build_most_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_watch, "COUNT_SECONDS", 0.0)
    monkeypatch.setattr(disk_watch, "LOOK_SECONDS", 0.01)
    counts: list[tuple[float, float]] = []
    loop, counted_often = asyncio.get_running_loop(), asyncio.Event()

    def counted(folders: Iterable[Path], enough: DiskUsage) -> DiskUsage:
        began = time.monotonic()
        time.sleep(0.05)
        counts.append((began, time.monotonic()))
        if len(counts) == 3:
            loop.call_soon_threadsafe(counted_often.set)
        return DiskUsage(0, 0)

    monkeypatch.setattr(disk_watch, "measure_folders", counted)

    async def work() -> None:
        await counted_often.wait()

    # So large that nothing that others write suggests a count.
    await run_within_limits(tmp_path, replace(LIMITS, disk_mb=2**30, max_files=2**30), nullcontext, work())

    for (began, ended), (next_began, _) in pairwise(counts):
        assert next_began - ended > 9 * (ended - began)


async def test_paused_build_does_nothing_and_goes_on_afterwards(
    engine: Engine, base_image: str, builder: Builder, build_request: Callable[..., BuildRequest]
) -> None:
    async def is_paused() -> bool:
        (listed,) = await containers.list_of_role(engine, Role.BUILDER)
        inspected = await engine.request("GET", f"containers/{listed.id}/json")
        return bool(inspected["State"]["Paused"])

    request = build_request()
    async with in_mid_step(builder, request, base_image, "sleep 3") as task:
        async with builder_container.paused(engine, request.deployment):
            assert await is_paused()
        assert not await is_paused()
        await task


async def test_paused_build_can_be_cancelled(
    engine: Engine, base_image: str, builder: Builder, build_request: Callable[..., BuildRequest]
) -> None:
    request = build_request()
    async with (
        in_mid_step(builder, request, base_image) as task,
        builder_container.paused(engine, request.deployment),
    ):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with within(20):  # `tests/bench/engine` asserts the 2 seconds
                await task

        assert await containers.list_of_role(engine, Role.BUILDER) == []


async def test_nothing_is_paused_where_nothing_runs(
    engine: Engine, build_request: Callable[..., BuildRequest]
) -> None:
    async with builder_container.paused(engine, build_request().deployment):
        pass
