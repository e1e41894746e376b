"""Several checks in a row make the difference, never one alone."""

from __future__ import annotations

from stackyn_server.domain.health import HealthChange, Streak, judge


def changes(answers: str, *, was_unhealthy: bool = False) -> str:
    """`.` is an answered check, `x` a failed one; the result has U where it counts as unhealthy, R as recovered."""
    letters = {HealthChange.NONE: "-", HealthChange.UNHEALTHY: "U", HealthChange.RECOVERED: "R"}
    streak, marks = Streak(), ""
    for mark in answers:
        streak = streak.followed_by(mark == ".")
        change = judge(streak, was_unhealthy=was_unhealthy, failures=3, successes=2)
        marks += letters[change]
        if change is HealthChange.UNHEALTHY:
            streak = Streak()  # it is started again
    return marks


def test_only_failures_in_a_row_make_an_app_unhealthy() -> None:
    assert changes("..xx.xx.xxx") == "----------U"


def test_an_app_that_stays_unhealthy_is_so_again_each_time() -> None:
    assert changes("xxxxxxx", was_unhealthy=True) == "--U--U-"


def test_only_answers_in_a_row_make_it_well_again() -> None:
    assert changes(".x..", was_unhealthy=True) == "---R"
    assert changes("....") == "----"
