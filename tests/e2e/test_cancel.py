"""Cancelled, or deleted, in any phase: what it ran is gone, its place is free, and what served goes on serving."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from stackyn_server.domain.deployments import Phase
from tests.crash.audit import is_whole, rows_of, until_idle
from tests.e2e.phase_holds import HOLDS, is_draining, slow_build
from tests.e2e.scene import Scene, Scenes, scenes
from tests.engine.parts import new_id, processes_with
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker

GONE_SECONDS = 2.0


@pytest.fixture(scope="module")
async def scene_factory(git: GitServer) -> AsyncIterator[Scenes]:
    """With all the time in the world for what has begun."""
    async with scenes(
        git,
        apps={"drain_seconds": 300},
        deadlines={"probing": 120, "switching": 120},
        ingress={"confirm_seconds": 100},
    ) as scene_factory:
        yield scene_factory


@pytest.fixture
def scene(scene_factory: Scenes) -> Scene:
    return scene_factory.new()


@pytest.fixture(scope="module")
async def serving(scene_factory: Scenes) -> Scene:
    """One that serves, for all that is cancelled: nothing of a cancelled deployment stays."""
    serving = scene_factory.new()
    await serving.go_live()
    return serving


async def cancel(server: ServerProcess, app: int, deployment: int) -> None:
    for _ in range(2):  # asking twice changes nothing
        await server.api("POST", f"/api/v1/deployments/{deployment}/cancel", expect=200)


async def delete(server: ServerProcess, app: int, deployment: int) -> None:
    await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)


End = Callable[[ServerProcess, int, int], Awaitable[None]]


@pytest.mark.parametrize("end", [cancel, delete])
async def test_cancelled_build_is_gone_within_two_seconds(
    server: ServerProcess, git: GitServer, end: End
) -> None:
    marks = [str(new_id()) for _ in range(3)]
    deployments = []
    for number, mark in enumerate(marks, start=1):
        url, _ = await git.publish(f"slow-{end.__name__}-{number}", slow_build(mark))
        deployments.append(await server.create(url, f"Slow {end.__name__} {number}"))
    await _runs(server, marks[0])
    await _runs(server, marks[1])
    waiting = await server.api("GET", f"/api/v1/deployments/{deployments[2][1]}", expect=200)
    assert waiting["status"] == "pending" and waiting["waiting"]["position"] == 1

    asked_at = time.monotonic()
    await end(server, *deployments[0])
    await server.until(lambda: _is_gone(marks[0]), 10, "no process of the build is left")
    await server.until(
        lambda: _is_in(server, deployments[2][1], *set(Phase) - {Phase.QUEUED}), 10, "the place is free"
    )
    assert time.monotonic() - asked_at < GONE_SECONDS

    for app, _ in deployments[1:]:
        await delete(server, app, 0)
    await _nothing_is_left(server, *(app for app, _ in deployments))


@pytest.mark.parametrize("phase", HOLDS)
async def test_cancelled_deploy_leaves_the_serving_release_in_place(serving: Scene, phase: str) -> None:
    async with HOLDS[phase](serving) as deployment:
        await _cancelled_in(serving, phase, deployment)
    await until_idle(serving.server)
    await is_whole(serving.server)


@pytest.mark.full
@pytest.mark.parametrize("end", [cancel, delete])
@pytest.mark.parametrize("phase", HOLDS)
async def test_ended_in_a_single_phase_it_leaves_nothing(scene: Scene, phase: str, end: End) -> None:
    await scene.go_live()
    async with HOLDS[phase](scene) as deployment:
        await (_cancelled_in if end is cancel else _deleted_in)(scene, phase, deployment)
    await until_idle(scene.server)
    await is_whole(scene.server)


async def _cancelled_in(scene: Scene, phase: str, deployment: int) -> None:
    server = scene.server
    if phase == "draining":  # it is live: a cancellation comes too late, and changes nothing
        before = await _row(scene, deployment)
        await cancel(server, scene.app, deployment)
        assert await _row(scene, deployment) == before
        assert await is_draining(server, scene.app), "nobody who still waits is cut off"
    else:
        asked_at = time.monotonic()
        await cancel(server, scene.app, deployment)
        await _is_over_soon(scene, deployment, asked_at)
        ended = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        assert (ended["status"], ended["phase"]) == ("stopped", "cancelled")
        before = await _row(scene, deployment)
        await cancel(server, scene.app, deployment)
        assert await _row(scene, deployment) == before, "cancelled again, it is as it was"
    if phase != "switching":  # there the proxy answers nobody for now
        assert await server.visit(scene.name) == (200, scene.serves)


async def _deleted_in(scene: Scene, phase: str, deployment: int) -> None:
    asked_at = time.monotonic()
    await delete(scene.server, scene.app, deployment)
    await _is_over_soon(scene, deployment, asked_at)
    await scene.server.api("GET", f"/api/v1/apps/{scene.app}", expect=404)


async def _is_over_soon(scene: Scene, deployment: int, asked_at: float) -> None:
    """No job has a place for it any more, and nothing that it ran is running."""

    async def is_over() -> bool:
        async with rows_of(scene.server) as rows:
            open_jobs = await rows.fetchval(
                "SELECT count(*) FROM job WHERE kind IN ('build', 'release') AND subject = $1"
                " AND state IN ('waiting', 'running')",
                str(deployment),
            )
        return not open_jobs and await _is_gone(scene.mark)

    await scene.server.until(is_over, 20, "job and processes are gone")
    assert time.monotonic() - asked_at < GONE_SECONDS


async def _row(scene: Scene, deployment: int) -> list[object]:
    async with rows_of(scene.server) as rows:
        return list(await rows.fetchrow("SELECT * FROM deployment WHERE id = $1", deployment))


async def _runs(server: ServerProcess, mark: str) -> None:
    async def runs() -> bool:
        return bool(await asyncio.to_thread(processes_with, mark))

    await server.until(runs, 60, "the build's step runs")


async def _is_gone(mark: str) -> bool:
    return not await asyncio.to_thread(processes_with, mark)


async def _is_in(server: ServerProcess, deployment: int, *phases: Phase) -> bool:
    view = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
    return view["phase"] in [phase.value for phase in phases]


async def _count_is(server: ServerProcess, label: str, count: int) -> bool:
    mine = f"label=io.stackyn.installation={server.installation}"
    return len((await docker("ps", "-aq", "--filter", mine, "--filter", label)).split()) == count


async def _nothing_is_left(server: ServerProcess, *apps: int) -> None:
    images = f"label=io.stackyn.image.installation={server.installation}"

    async def nothing() -> bool:
        for app in apps:
            built = await docker(
                "images", "-q", "--filter", images, "--filter", f"label=io.stackyn.image.app={app}"
            )
            if built.strip() or not await _count_is(server, f"label=io.stackyn.app={app}", 0):
                return False
        return not list((server.data_dir / "clones").glob("*"))

    await server.until(nothing, 30, "container, image and clone of each are gone")
