"""Cancelling a deployment, or deleting its app, in any phase: what is then true, and how long that took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from stackyn_server.domain.deployments import Phase
from tests.crash.audit import rows_of
from tests.e2e.holdable_app import HoldableApp, HoldableServer, holdable_server
from tests.e2e.phase_holds import is_draining, slow_build
from tests.engine.parts import new_id, processes_with
from tests.git_server import GitServer
from tests.server_process import ServerProcess, containers_of, images_of

End = Callable[[ServerProcess, int, int], Awaitable[None]]


@asynccontextmanager
async def server_without_deadlines(git: GitServer) -> AsyncIterator[HoldableServer]:
    """HoldableServer on a server whose deadlines end no phase before the test does."""
    async with holdable_server(
        git,
        apps={"drain_seconds": 300},
        deadlines={"probing": 120, "switching": 120},
        ingress={"confirm_seconds": 100},
    ) as server:
        yield server


async def cancel(server: ServerProcess, app: int, deployment: int) -> None:
    for _ in range(2):  # asking twice changes nothing
        await server.api("POST", f"/api/v1/deployments/{deployment}/cancel", expect=200)


async def delete(server: ServerProcess, app: int, deployment: int) -> None:
    await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)


async def end_a_build(server: ServerProcess, git: GitServer, end: End) -> float:
    """End one of two builds that run, and return the seconds until its processes were gone and its place was free."""
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
    await server.until(lambda: _is_gone(marks[0]), 30, "no process of the build is left")
    await server.until(
        lambda: _is_in(server, deployments[2][1], *set(Phase) - {Phase.QUEUED}), 30, "the place is free"
    )
    seconds = time.monotonic() - asked_at

    for app, _ in deployments[1:]:
        await delete(server, app, 0)
    await _nothing_is_left(server, *(app for app, _ in deployments))
    return seconds


async def cancel_in(app: HoldableApp, phase: str, deployment: int) -> float:
    """Cancel the deployment in this phase, and return the seconds until its job and its processes were gone."""
    server, seconds = app.server, 0.0
    if phase == "draining":  # it is live: a cancellation comes too late, and changes nothing
        before = await _row(app, deployment)
        await cancel(server, app.id, deployment)
        assert await _row(app, deployment) == before
        assert await is_draining(server, app.id), "nobody who still waits is cut off"
    else:
        asked_at = time.monotonic()
        await cancel(server, app.id, deployment)
        await _is_over(app, deployment)
        seconds = time.monotonic() - asked_at
        ended = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        assert (ended["status"], ended["phase"]) == ("stopped", "cancelled")
        before = await _row(app, deployment)
        await cancel(server, app.id, deployment)
        assert await _row(app, deployment) == before, "cancelled again, it is as it was"
    if phase != "switching":  # there the proxy answers nobody for now
        assert await server.visit(app.name) == (200, app.serves)
    return seconds


async def delete_in(app: HoldableApp, phase: str, deployment: int) -> float:
    """Delete the app while the deployment is in this phase, and return the same."""
    asked_at = time.monotonic()
    await delete(app.server, app.id, deployment)
    await _is_over(app, deployment)
    seconds = time.monotonic() - asked_at
    await app.server.api("GET", f"/api/v1/apps/{app.id}", expect=404)
    return seconds


async def _is_over(app: HoldableApp, deployment: int) -> None:
    """Wait until no job has a place for the deployment any more, and nothing that it ran is running."""

    async def is_over() -> bool:
        async with rows_of(app.server) as rows:
            open_jobs = await rows.fetchval(
                "SELECT count(*) FROM job WHERE kind IN ('build', 'release') AND subject = $1"
                " AND state IN ('waiting', 'running')",
                str(deployment),
            )
        return not open_jobs and await _is_gone(app.mark)

    await app.server.until(is_over, 30, "job and processes are gone")


async def _row(app: HoldableApp, deployment: int) -> list[object]:
    async with rows_of(app.server) as rows:
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


async def _nothing_is_left(server: ServerProcess, *apps: int) -> None:
    async def nothing() -> bool:
        for app in apps:
            if await images_of(server, app) or await containers_of(server, app):
                return False
        return not list((server.data_dir / "clones").glob("*"))

    await server.until(nothing, 30, "container, image and clone of each are gone")
