"""Killed at every named point of every story, the server goes on where it was: nothing lost, left or down.

The short tier visits each point once, in a scenario that passes it; the long tier is the whole product.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from stackyn_server.pipeline.crashpoints import VARIABLE
from stackyn_server.store.embedded import embedded_url
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker, running
from tests.tiny import tiny_app

PIPELINE = Path(__file__).parents[2] / "stackyn_server" / "pipeline"
ALL_POINTS = sorted(
    {
        name
        for module in PIPELINE.glob("*.py")
        for name in re.findall(r'crash_point\("([a-z._]+)"\)', module.read_text())
    }
)
# While a route is held, visitors wait for the server: those points have a test with promises of its own.
HELD = tuple(name for name in ALL_POINTS if name.startswith(("sleep.", "wake.", "swap.")))
POINTS = [name for name in ALL_POINTS if name not in HELD]
ENDED = ("running", "failed", "stopped")

_numbers = itertools.count(1)


class Stage:
    """One app in mid-life: what a scenario acts on, and what it is checked against."""

    def __init__(self, server: ServerProcess, git: GitServer) -> None:
        self.server = server
        self.git = git
        self.number = next(_numbers)
        self.name = f"crash-{self.number}"
        self.app = 0
        self.serves = False
        self.is_deleted = False

    async def create(self) -> int:
        url, _ = await self.git.publish(self.name, tiny_app("1"))
        self.app, deployment = await self.server.create(url, self.name)
        return deployment

    async def go_live(self) -> None:
        await self.server.deployed(await self.create())
        self.serves = True

    async def post(self, path: str, body: object = None) -> None:
        """Ask for something; the server may die of it in mid-answer."""
        try:
            await self.server.api("POST", path, body)
        except (OSError, TimeoutError):
            return


async def first_deploy(stage: Stage) -> None:
    await stage.create()


async def redeploy(stage: Stage) -> None:
    await stage.git.publish(stage.name, tiny_app("2"))
    await stage.post(f"/api/v1/apps/{stage.app}/redeploy")


async def rollback(stage: Stage) -> None:
    await stage.post(f"/api/v1/apps/{stage.app}/rollback", {"release": 1})


async def cancel(stage: Stage) -> None:
    await redeploy(stage)
    newest = (await stage.server.api("GET", f"/api/v1/apps/{stage.app}/deployments"))[0]["id"]
    await stage.post(f"/api/v1/deployments/{newest}/cancel")


async def failing(stage: Stage) -> None:
    await stage.git.publish(stage.name, tiny_app("2", start="exit 1\n"))
    await stage.post(f"/api/v1/apps/{stage.app}/redeploy")


async def delete(stage: Stage) -> None:
    stage.serves, stage.is_deleted = False, True
    try:
        await stage.server.api("DELETE", f"/api/v1/apps/{stage.app}")
    except (OSError, TimeoutError):
        return


async def lost_container(stage: Stage) -> None:
    stage.serves = False  # for as long as it takes to bring it back
    label = f"label=io.stackyn.app={stage.app}"
    mine = f"label=io.stackyn.installation={stage.server.installation}"
    await docker("rm", "-f", *(await docker("ps", "-q", "--filter", mine, "--filter", label)).split())


Scenario = Callable[[Stage], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {
    "first deploy": first_deploy,
    "redeploy": redeploy,
    "rollback": rollback,
    "cancel": cancel,
    "failing redeploy": failing,
    "delete": delete,
    "lost container": lost_container,
}
# The scenario that surely passes a point; the rest of the product is in the long tier.
PASSED_BY = {
    "build": "first deploy",
    "release": "redeploy",
    "retire": "rollback",
    "cleanup": "failing redeploy",
    "withdraw": "delete",
    "remove": "delete",
    "repair": "lost container",
}
SHORT = [(point, PASSED_BY[point.partition(".")[0]]) for point in POINTS]
LONG = [case for case in itertools.product(POINTS, SCENARIOS) if case not in SHORT]


@pytest.fixture(scope="module")
async def git(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git:
        yield git


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running() as server:
        yield server


def test_there_are_at_least_twenty_points() -> None:
    assert len(POINTS) >= 20, POINTS


@pytest.mark.parametrize(("point", "scenario"), SHORT, ids=[f"{point}-{name}" for point, name in SHORT])
async def test_a_kill_loses_nothing(server: ServerProcess, git: GitServer, point: str, scenario: str) -> None:
    await _kill_at(server, git, point, scenario, must_die=True)


@pytest.mark.full
@pytest.mark.parametrize(("point", "scenario"), LONG, ids=[f"{point}-{name}" for point, name in LONG])
async def test_a_kill_loses_nothing_anywhere(
    server: ServerProcess, git: GitServer, point: str, scenario: str
) -> None:
    await _kill_at(server, git, point, scenario, must_die=False)


async def _kill_at(
    server: ServerProcess, git: GitServer, point: str, scenario: str, *, must_die: bool
) -> None:
    stage = Stage(server, git)
    if scenario != "first deploy":
        await stage.go_live()
        await _at_rest(stage)
    await server.stop()
    server.environment = {VARIABLE: point}
    await server.start()
    async with _visited(stage) as failures:
        await SCENARIOS[scenario](stage)
        try:
            died = await server.died(seconds=30 if must_die else 5) == -9
        except TimeoutError:
            died = False
        assert died or not must_die, f"{point} was not passed\n{server.last_log()}"
        if not died:
            await server.stop()
        server.environment = {}
        await server.start()
        await _at_rest(stage)
    assert failures == []
    await _is_whole(stage)
    await server.api("DELETE", f"/api/v1/apps/{stage.app}")


@asynccontextmanager
async def _visited(stage: Stage) -> AsyncIterator[list[tuple[int, str]]]:
    """Visit the app all the time, as long as it is supposed to serve; yields the answers that were no success."""
    failures: list[tuple[int, str]] = []
    ended = asyncio.Event()

    async def visit() -> None:
        while not ended.is_set():
            answer = await stage.server.visit(stage.name)
            if stage.serves and answer[0] != 200:
                failures.append(answer)

    visitor = asyncio.create_task(visit())
    try:
        yield failures
    finally:
        ended.set()
        await visitor


async def _at_rest(stage: Stage) -> None:
    """Wait until no job but periodic ones is open."""

    async def no_open_job() -> bool:
        connection = await asyncpg.connect(embedded_url(stage.server.data_dir))
        try:
            return not await connection.fetchval(
                "SELECT count(*) FROM job WHERE state IN ('waiting', 'running') AND schedule IS NULL"
            )
        finally:
            await connection.close()

    await stage.server.until(no_open_job, 60, "every job has ended")


async def _is_whole(stage: Stage) -> None:
    server, app = stage.server, stage.app
    if stage.is_deleted:
        await server.api("GET", f"/api/v1/apps/{app}", expect=404)
    else:
        deployments = await server.api("GET", f"/api/v1/apps/{app}/deployments", expect=200)
        assert [one for one in deployments if one["status"] not in ENDED] == []
        assert sum(one["status"] == "running" for one in deployments) == 1
        assert (await server.api("GET", f"/api/v1/apps/{app}"))["status"] == "running"
    expected = 0 if stage.is_deleted else 1
    assert (await server.visit(stage.name))[0] == (200 if expected else 404)
    mine = f"label=io.stackyn.installation={server.installation}"
    containers = await docker("ps", "-aq", "--filter", mine, "--filter", f"label=io.stackyn.app={app}")
    assert len(containers.split()) == expected
    images = await docker(
        "images",
        "-q",
        "--filter",
        f"label=io.stackyn.image.installation={server.installation}",
        "--filter",
        f"label=io.stackyn.image.app={app}",
    )
    releases = [] if stage.is_deleted else await server.api("GET", f"/api/v1/apps/{app}/releases", expect=200)
    assert len(set(images.split())) <= len({release["image"] for release in releases})
    assert list((server.data_dir / "clones").glob("*")) == []
