"""Killed at every named point of every job handler, the server goes on where it was: nothing lost, left or down.

The short tier kills at each point once: a scenario is killed at its first point, started again, killed at the next one
that its recovery passes, and so on to its end. The long tier (test_whole_product) kills at each by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.crash.house import House
from tests.crash.points import PASSED_BY, POINTS, handler_of, passed_in
from tests.crash.stage import SCENARIOS
from tests.git_server import GitServer


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git, House(git) as house:
        yield house


def test_each_of_twenty_or_more_crash_points_has_a_scenario() -> None:
    assert len(POINTS) >= 20, POINTS
    assert {handler_of(point) for point in POINTS} == PASSED_BY.keys()
    assert set(PASSED_BY.values()) <= SCENARIOS.keys()


@pytest.mark.timeout(300)  # a dozen starts in one test
@pytest.mark.parametrize("scenario", sorted(set(PASSED_BY.values())))
async def test_killed_at_each_of_its_points_in_turn_nothing_is_lost(house: House, scenario: str) -> None:
    async with house.performance(scenario) as stage:
        await house.kill(stage, passed_in(scenario), lambda: SCENARIOS[scenario](stage))
