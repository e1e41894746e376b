"""Rates follow from two readings of counters that only grow, until their container is started again."""

from __future__ import annotations

import pytest

from stackyn_server.domain.usage import SECONDS_OF, STEP_SECONDS_OF, Range, Rates, Reading, rates

NOTHING = Rates(None, None, None)


def reading(at: float, cpu: float = 0, network: int = 0, container: str = "c") -> Reading:
    return Reading(container, at, cpu, network, 2 * network)


def test_a_first_reading_says_nothing_of_the_time_before_it() -> None:
    assert rates(None, reading(10, 5, 100)) == NOTHING
    assert rates(reading(10, 5, 100, "earlier"), reading(20, 6, 200)) == NOTHING


def test_two_readings_give_cores_and_bytes_between_them() -> None:
    assert rates(reading(10, 5, 100), reading(20, 7.5, 160)) == Rates(0.25, 60, 120)


def test_totals_that_began_anew_count_from_zero() -> None:
    assert rates(reading(10, 500, 9000), reading(20, 1, 70)) == Rates(0.1, 70, 140)


def test_two_readings_of_one_moment_have_no_rate() -> None:
    assert rates(reading(10, 5), reading(10, 6)) == NOTHING


@pytest.mark.parametrize("time_range", Range)
def test_a_series_has_a_bounded_number_of_points(time_range: Range) -> None:
    assert SECONDS_OF[time_range] % STEP_SECONDS_OF[time_range] == 0
    assert SECONDS_OF[time_range] // STEP_SECONDS_OF[time_range] + 1 <= 181
