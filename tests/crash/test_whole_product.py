"""The fault matrix: in each scenario a kill at each point that it passes, and a look that it passes no other one.

Cancel and delete meet a deployment in each state that a kill can leave it in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.crash.house import House
from tests.crash.kills import hold_what_is_interrupted, is_restored, release_held
from tests.crash.points import HANDLERS, handler_of, never_passed, passed
from tests.crash.stage import SCENARIOS, Stage, delete, delete_in_mid_deploy, redeploy
from tests.git_server import GitServer

pytestmark = pytest.mark.full

KILLS = [(scenario, point) for scenario in HANDLERS for point in passed(scenario)]


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git, House(git) as house:
        yield house


@pytest.mark.parametrize(("scenario", "point"), KILLS)
async def test_killed_anywhere_nothing_is_lost(house: House, scenario: str, point: str) -> None:
    handler = handler_of(point)
    async with house.performance(scenario) as stage:
        if scenario in ENDS and handler in ("build", "release"):
            await _end_what_a_kill_interrupted(house, stage, ENDS[scenario], point)
        elif scenario == "delete" and handler == "cleanup":
            await house.kill(stage, {point}, lambda: delete_in_mid_deploy(stage))
        else:
            await house.kill(stage, {point}, lambda: SCENARIOS[scenario](stage))


@pytest.mark.parametrize("scenario", HANDLERS)
async def test_it_passes_no_other_point(house: House, scenario: str) -> None:
    async with house.performance(scenario) as stage:
        await house.spare(stage, never_passed(scenario), lambda: SCENARIOS[scenario](stage))


async def _end_what_a_kill_interrupted(house: House, stage: Stage, end: End, point: str) -> None:
    async def ask() -> None:
        await hold_what_is_interrupted(stage.server, handler_of(point))
        await redeploy(stage)

    async def then() -> None:
        await is_restored(stage.server)
        await end(stage, point)
        await release_held(stage.server)

    await house.kill(stage, {point}, ask, then)


async def _cancel(stage: Stage, point: str) -> None:
    """In time as long as it is not live."""
    newest = (await stage.server.api("GET", f"/api/v1/apps/{stage.app}/deployments", expect=200))[0]
    view = await stage.server.api("POST", f"/api/v1/deployments/{newest['id']}/cancel", expect=200)
    assert view["phase"] == ("live" if point == "release.live" else "cancelled")
    if view["phase"] == "cancelled":
        stage.expected = stage.before


async def _delete(stage: Stage, point: str) -> None:
    await delete(stage)


End = Callable[[Stage, str], Awaitable[None]]
ENDS: dict[str, End] = {"cancel": _cancel, "delete": _delete}
