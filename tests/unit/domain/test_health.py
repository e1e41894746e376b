"""Several checks in a row make the difference, never one alone."""

from __future__ import annotations

import itertools

from stackyn_server.domain.health import Streak, Verdict, judge


def verdicts(answers: str, *, was_unhealthy: bool = False) -> str:
    """`.` is an answered check, `x` a failed one; the result has U where it counts as unhealthy, R as recovered."""
    streaks = itertools.accumulate((mark == "." for mark in answers), Streak.followed_by, initial=Streak())
    letters = {Verdict.NOTHING_NEW: "-", Verdict.UNHEALTHY: "U", Verdict.RECOVERED: "R"}
    found = (judge(streak, was_unhealthy=was_unhealthy, failures=3, successes=2) for streak in streaks)
    return "".join(letters[verdict] for verdict in found)[1:]


def test_only_failures_in_a_row_make_an_app_unhealthy() -> None:
    assert verdicts("..xx.xx.xxx") == "----------U"


def test_an_app_that_stays_unhealthy_is_so_again_each_time() -> None:
    assert verdicts("xxxxxxx", was_unhealthy=True) == "--U--U-"


def test_only_answers_in_a_row_make_it_well_again() -> None:
    assert verdicts(".x..", was_unhealthy=True) == "---R"
    assert verdicts("....") == "----"
