"""Killed at every named point of every story, the server goes on where it was: nothing lost, left or down.

The short tier kills at each point once: a scenario is killed at its first point, started again, killed at the next one
that its recovery passes, and so on to its end. The long tier is the whole product, each kill by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager

import pytest

from stackyn_server.pipeline.crashpoints import LAST_WORDS, VARIABLE
from tests.crash.audit import at_rest, is_whole, rows_of
from tests.crash.points import PASSED_BY, POINTS, passed_in, story_of
from tests.crash.stage import SCENARIOS, Stage, visited
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running

QUEUED = 3
KILLED = -9
DEATH_SECONDS, NO_DEATH_SECONDS = 60, 5


@pytest.fixture(scope="module")
async def git(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git:
        yield git


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running() as server:
        yield server


@pytest.fixture(scope="module")
async def bystander(server: ServerProcess, git: GitServer) -> Stage:
    """Another app, which serves all the time and has nothing to do with any of it."""
    stage = Stage(server, git)
    await stage.go_live()
    return stage


def test_there_are_at_least_twenty_points_and_each_has_a_scenario() -> None:
    assert len(POINTS) >= 20, POINTS
    assert {story_of(point) for point in POINTS} == PASSED_BY.keys()
    assert set(PASSED_BY.values()) <= SCENARIOS.keys()


@pytest.mark.parametrize("scenario", sorted(set(PASSED_BY.values())))
async def test_killed_at_each_of_its_points_in_turn_nothing_is_lost(
    server: ServerProcess, git: GitServer, bystander: Stage, scenario: str
) -> None:
    await _kill(server, git, bystander, scenario, passed_in(scenario), must_die=True)


@pytest.mark.full
@pytest.mark.parametrize(("point", "scenario"), list(itertools.product(POINTS, SCENARIOS)))
async def test_killed_anywhere_nothing_is_lost(
    server: ServerProcess, git: GitServer, bystander: Stage, point: str, scenario: str
) -> None:
    must_die = PASSED_BY[story_of(point)] == scenario
    await _kill(server, git, bystander, scenario, {point}, must_die=must_die)


async def _kill(
    server: ServerProcess,
    git: GitServer,
    bystander: Stage,
    scenario: str,
    points: Set[str],
    *,
    must_die: bool,
) -> None:
    stage = Stage(server, git)
    if scenario != "first deploy":
        await stage.go_live()
        await at_rest(server)
    async with _queue_stays_as_it_is(server):
        await _visit_and_kill(stage, bystander, scenario, points, must_die=must_die)
    await is_whole(server)
    await _has_ended_well(stage)
    await server.api("DELETE", f"/api/v1/apps/{stage.app}")


async def _visit_and_kill(
    stage: Stage, bystander: Stage, scenario: str, points: Set[str], *, must_die: bool
) -> None:
    """Kill at whichever point is passed first, start again, and so on until none of them is left."""
    server, left = stage.server, set(points)
    await server.stop()
    await _start(server, left)
    async with visited(stage, bystander) as failures:
        await SCENARIOS[scenario](stage)
        while left:
            try:
                code = await server.died(seconds=DEATH_SECONDS if must_die else NO_DEATH_SECONDS)
            except TimeoutError:
                assert not must_die, f"not passed: {left}\n{server.last_log()}"
                await server.stop()
                left.clear()
            else:
                assert code == KILLED, f"it ended with {code}\n{server.last_log()}"
                left.remove(_last_words(server))
            await _start(server, left)
        await at_rest(server)
    assert failures == []


async def _start(server: ServerProcess, points: Set[str]) -> None:
    """Where another kill is to come during the recovery, it may not even come to answer."""
    server.environment = {VARIABLE: ",".join(sorted(points))} if points else {}
    is_recovering = server.process is not None and server.process.returncode == KILLED
    await server.start(wait=not (points and is_recovering))


def _last_words(server: ServerProcess) -> str:
    last = server.log_file.read_text().splitlines()[-1]
    assert last.startswith(LAST_WORDS), last
    return last.removeprefix(LAST_WORDS)


@asynccontextmanager
async def _queue_stays_as_it_is(server: ServerProcess) -> AsyncIterator[None]:
    """Jobs that wait for a time to come: a kill must neither run, lose, nor change them."""
    name = "waits for tomorrow"
    async with rows_of(server) as rows:
        await rows.execute(
            "INSERT INTO job (kind, subject, pool, priority, run_at) SELECT 'mail', $2 || n, 'mail', n,"
            " now() + n * interval '1 day' FROM generate_series(1, $1) AS n",
            QUEUED,
            name,
        )
        before = await rows.fetch("SELECT * FROM job WHERE subject LIKE $1 || '%' ORDER BY id", name)
    yield
    async with rows_of(server) as rows:
        after = await rows.fetch("DELETE FROM job WHERE subject LIKE $1 || '%' RETURNING *", name)
    assert sorted(map(tuple, after)) == list(map(tuple, before))


async def _has_ended_well(stage: Stage) -> None:
    """Beyond what holds for every installation: this app runs as was asked, or nothing of it is there."""
    server, app = stage.server, stage.app
    if stage.is_deleted:
        await server.api("GET", f"/api/v1/apps/{app}", expect=404)
    else:
        assert (await server.api("GET", f"/api/v1/apps/{app}", expect=200))["status"] == "running"
