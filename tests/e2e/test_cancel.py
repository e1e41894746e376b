"""Cancelled, or deleted, in any phase: what it ran is gone, its place is free, and what served goes on serving."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from stackyn_server.domain.deployments import Phase
from tests.engine.parts import new_id, processes_with
from tests.git_server import GitServer, Mode
from tests.server_process import ServerProcess, docker
from tests.tiny import DOCKERFILE, Tree, tiny_app

GONE_SECONDS = 2.0


def slow_build(mark: str) -> Tree:
    """Its build step can be found among the processes by `mark`, a number of seconds that never pass."""
    return tiny_app(dockerfile=DOCKERFILE + f'RUN ["/bin/busybox", "sleep", "{mark}"]\n')


async def cancel(server: ServerProcess, app: int, deployment: int) -> None:
    for _ in range(2):  # asking twice changes nothing
        await server.api("POST", f"/api/v1/deployments/{deployment}/cancel", expect=200)


async def delete(server: ServerProcess, app: int, deployment: int) -> None:
    await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)


End = Callable[[ServerProcess, int, int], Awaitable[None]]


@pytest.mark.parametrize("end", [cancel, delete])
async def test_in_mid_build_its_processes_are_gone_and_its_place_is_free_within_two_seconds(
    server: ServerProcess, git: GitServer, end: End
) -> None:
    marks = [str(new_id()) for _ in range(3)]
    made = []
    for number, mark in enumerate(marks, start=1):
        url, _ = await git.publish(f"slow-{end.__name__}-{number}", slow_build(mark))
        made.append(await server.create(url, f"Slow {end.__name__} {number}"))
    await _runs(server, marks[0])
    await _runs(server, marks[1])
    waiting = await server.api("GET", f"/api/v1/deployments/{made[2][1]}", expect=200)
    assert waiting["status"] == "pending" and waiting["waiting"]["position"] == 1

    asked_at = time.monotonic()
    await end(server, *made[0])
    await server.until(lambda: _is_gone(marks[0]), 10, "no process of the build is left")
    await server.until(
        lambda: _is_in(server, made[2][1], *set(Phase) - {Phase.QUEUED}), 10, "the place is free"
    )
    assert time.monotonic() - asked_at < GONE_SECONDS

    for app, _ in made[1:]:
        await delete(server, app, 0)
    await _nothing_is_left(server, *(app for app, _ in made))


async def test_the_release_that_served_goes_on_whatever_phase_is_cancelled(
    server: ServerProcess, git: GitServer
) -> None:
    url, _ = await git.publish("steady", tiny_app("good"))
    app, first = await server.create(url, "Steady")
    await server.deployed(first)

    async def cancelled_in(phase: Phase, tree: Tree) -> None:
        await git.publish("steady", tree)
        asked = await server.api("POST", f"/api/v1/apps/{app}/redeploy", expect=201)
        deployment = int(asked["deployment"]["id"])
        await server.until(lambda: _is_in(server, deployment, phase), 30, f"it is {phase.value}")
        await cancel(server, app, deployment)
        ended = await server.deployed(deployment, "stopped")
        assert ended["phase"] == "cancelled"
        assert await server.visit("steady") == (200, "good")

    git.modes["steady"] = Mode.HANG
    await cancelled_in(Phase.FETCHING, tiny_app("bad"))
    git.modes["steady"] = Mode.SERVE
    await cancelled_in(Phase.BUILDING, slow_build(str(new_id())))
    await cancelled_in(Phase.PROBING, tiny_app("bad", start="exec /bin/busybox sleep 600\n"))
    view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
    assert view["status"] == "running"
    label = f"label=io.stackyn.app={app}"
    await server.until(lambda: _count_is(server, label, 1), 20, "only the container that serves is there")
    await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)


async def _runs(server: ServerProcess, mark: str) -> None:
    async def runs() -> bool:
        return bool(await asyncio.to_thread(processes_with, mark))

    await server.until(runs, 60, "the build's step runs")


async def _is_gone(mark: str) -> bool:
    return not await asyncio.to_thread(processes_with, mark)


async def _is_in(server: ServerProcess, deployment: int, *phases: Phase) -> bool:
    found = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
    return found["phase"] in [phase.value for phase in phases]


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
