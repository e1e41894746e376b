"""Killed while an app falls asleep or wakes up: whoever comes after the restart is answered, and nothing is left over.

Held requests need the server, so those that wait while it is killed fail; no others do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stackyn_server.pipeline.crashpoints import VARIABLE
from tests.crash.points import HELD
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker, running
from tests.tiny import tiny_app

NEEDS_A_VISIT = ("sleep.aborted", "wake.")
NEEDS_A_LOST_IMAGE = "wake.failed"
# Swaps happen where the memory is missing; an app that sleeps in between would only be in the way.
NO_MEMORY_LEFT = {"STACKYN_APPS__MEMORY_RESERVE_MB": str(2**30), "STACKYN_APPS__IDLE_MINUTES": "0"}
SWAP = [name for name in HELD if name.startswith("swap.")]
SLEEP_AND_WAKE = [name for name in HELD if not name.startswith("swap.")]


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running(
        **{
            "plans.pro": {"always_on": False, "zero_downtime": False},
            "apps": {"idle_minutes": 1 / 60},
            "reconcile": {"idle_seconds": 0.3},
            "hold": {"refuse_seconds": 0.1},
        }
    ) as server:
        yield server


@pytest.fixture(scope="module")
async def git(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git:
        yield git


@pytest.fixture(scope="module")
async def app(server: ServerProcess, git: GitServer) -> int:
    """An app that answers `awake`."""
    url, _ = await git.publish("nap", tiny_app("awake"))
    app, deployment = await server.create(url, "nap")
    await server.deployed(deployment)
    return app


@pytest.mark.parametrize("point", SWAP)
async def test_a_kill_in_a_swap_leaves_one_release_that_answers(
    server: ServerProcess, git: GitServer, app: int, point: str
) -> None:
    await _awake(server, app)
    await server.stop()
    server.environment = {VARIABLE: point, **NO_MEMORY_LEFT}
    await server.start()
    is_bad = point == "swap.failed"
    await git.publish("nap", tiny_app("awake", start="exit 1\n") if is_bad else tiny_app("awake"))
    again = await server.api("POST", f"/api/v1/apps/{app}/redeploy", expect=201)
    assert await server.died(seconds=30) == -9, f"{point} was not passed\n{server.last_log()}"
    server.environment = NO_MEMORY_LEFT
    await server.start()
    assert await server.visit("nap") == (200, "awake")
    await server.deployed(again["deployment"]["id"], "failed" if is_bad else "running")
    assert await server.visit("nap") == (200, "awake")
    assert len(await _containers(server, app)) == 1
    server.environment = {}


@pytest.mark.parametrize("point", [name for name in SLEEP_AND_WAKE if name != NEEDS_A_LOST_IMAGE])
async def test_a_kill_keeps_nobody_from_waking_the_app(server: ServerProcess, app: int, point: str) -> None:
    await (_asleep if point.startswith("wake.") else _awake)(server, app)
    await server.stop()
    server.environment = {VARIABLE: point}
    await server.start()
    visits = asyncio.create_task(_visits(server, app)) if point.startswith(NEEDS_A_VISIT) else None
    assert await server.died(seconds=30) == -9, f"{point} was not passed\n{server.last_log()}"
    if visits:
        visits.cancel()
    server.environment = {}
    await server.start()
    assert await server.visit("nap") == (200, "awake")
    assert len(await _containers(server, app)) == 1


async def test_a_kill_after_a_failed_wake_leaves_nothing(server: ServerProcess, app: int) -> None:
    await _asleep(server, app)
    release = (await server.api("GET", f"/api/v1/apps/{app}/releases", expect=200))[0]
    await server.stop()
    server.environment = {VARIABLE: NEEDS_A_LOST_IMAGE}
    await server.start()
    await docker("rmi", "-f", release["image"])
    await server.visit("nap")
    assert await server.died(seconds=30) == -9, server.last_log()
    server.environment = {}
    await server.start()
    assert (await server.visit("nap"))[0] == 503
    assert await _containers(server, app) == []


async def _visits(server: ServerProcess, app: int) -> None:
    """Visit as soon as the app is held, until somebody cancels it."""
    await server.until(lambda: _has_phase(server, app, "sleeping"), 30, "it is held")
    while True:
        await server.visit("nap")


async def _asleep(server: ServerProcess, app: int) -> None:
    async def sleeps() -> bool:
        return await _has_phase(server, app, "sleeping") and not await _containers(server, app)

    await server.until(sleeps, 30, "the app sleeps")


async def _awake(server: ServerProcess, app: int) -> None:
    async def is_awake() -> bool:
        await server.visit("nap")
        return await _has_phase(server, app, "live")

    await server.until(is_awake, 30, "the app is awake")


async def _has_phase(server: ServerProcess, app: int, phase: str) -> bool:
    return bool((await server.api("GET", f"/api/v1/apps/{app}", expect=200))["phase"] == phase)


async def _containers(server: ServerProcess, app: int) -> list[str]:
    mine = f"label=io.stackyn.installation={server.installation}"
    return (await docker("ps", "-aq", "--filter", mine, "--filter", f"label=io.stackyn.app={app}")).split()
