"""Killed at every named point of every job handler, the server goes on where it was: nothing lost, left or down.

The short tier kills at each point once: a scenario is killed at its first point, started again, killed at the next one
that its recovery passes, and so on to its end. The long tier (test_whole_product) kills at each by itself.
"""

from __future__ import annotations

import pytest

from tests.crash.app_under_test import SCENARIOS
from tests.crash.kill_trials import KillTrials
from tests.crash.points import PASSED_BY, POINTS, handler_of, passed_in


def test_each_of_twenty_or_more_crash_points_has_a_scenario() -> None:
    assert len(POINTS) >= 20, POINTS
    assert {handler_of(point) for point in POINTS} == PASSED_BY.keys()
    assert set(PASSED_BY.values()) <= SCENARIOS.keys()


@pytest.mark.timeout(300)  # a dozen starts in one test
@pytest.mark.parametrize("scenario", sorted(set(PASSED_BY.values())))
async def test_killed_at_each_of_its_points_in_turn_nothing_is_lost(
    trials: KillTrials, scenario: str
) -> None:
    async with trials.app_for(scenario) as app:
        await trials.kill(app, passed_in(scenario), lambda: SCENARIOS[scenario](app))
