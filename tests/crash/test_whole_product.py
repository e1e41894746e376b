"""The fault matrix: in each scenario a kill at each point that it passes, and a look that it passes no other one.

Cancel and delete meet a deployment in each state that a kill can leave it in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.crash.app_under_test import SCENARIOS, AppUnderTest, delete, delete_in_mid_deploy, redeploy
from tests.crash.kill_trials import KillTrials
from tests.crash.kills import hold_what_is_interrupted, is_restored, release_held
from tests.crash.points import HANDLERS, handler_of, never_passed, passed

pytestmark = pytest.mark.full

KILLS = [(scenario, point) for scenario in HANDLERS for point in passed(scenario)]


@pytest.mark.parametrize(("scenario", "point"), KILLS)
async def test_killed_anywhere_nothing_is_lost(trials: KillTrials, scenario: str, point: str) -> None:
    handler = handler_of(point)
    async with trials.app_for(scenario) as app:
        if scenario in ENDS and handler in ("build", "release"):
            await _end_what_a_kill_interrupted(trials, app, ENDS[scenario], point)
        elif scenario == "delete" and handler == "cleanup":
            await trials.kill(app, {point}, lambda: delete_in_mid_deploy(app))
        else:
            await trials.kill(app, {point}, lambda: SCENARIOS[scenario](app))


@pytest.mark.parametrize("scenario", HANDLERS)
async def test_it_passes_no_other_point(trials: KillTrials, scenario: str) -> None:
    async with trials.app_for(scenario) as app:
        await trials.pass_none(app, never_passed(scenario), lambda: SCENARIOS[scenario](app))


async def _end_what_a_kill_interrupted(trials: KillTrials, app: AppUnderTest, end: End, point: str) -> None:
    async def ask() -> None:
        await hold_what_is_interrupted(app.server, handler_of(point))
        await redeploy(app)

    async def then() -> None:
        await is_restored(app.server)
        await end(app, point)
        await release_held(app.server)

    await trials.kill(app, {point}, ask, then)


async def _cancel(app: AppUnderTest, point: str) -> None:
    """In time as long as it is not live."""
    newest = (await app.server.api("GET", f"/api/v1/apps/{app.id}/deployments", expect=200))[0]
    view = await app.server.api("POST", f"/api/v1/deployments/{newest['id']}/cancel", expect=200)
    assert view["phase"] == ("live" if point == "release.live" else "cancelled")
    if view["phase"] == "cancelled":
        app.expected = app.before


async def _delete(app: AppUnderTest, point: str) -> None:
    await delete(app)


End = Callable[[AppUnderTest, str], Awaitable[None]]
ENDS: dict[str, End] = {"cancel": _cancel, "delete": _delete}
