from __future__ import annotations

from stackyn_server.domain.crashes import CRASHED, Crash, stop_reason


def test_an_app_goes_on_below_the_limit_of_crashes() -> None:
    assert stop_reason(Crash(CRASHED, "It ended."), 2, limit=3, window_seconds=600) is None


def test_the_reason_to_stop_names_count_and_window() -> None:
    reason = stop_reason(Crash(CRASHED, "It ended."), 3, limit=3, window_seconds=600)
    assert reason == "It ended. That happened 3 times within 10 minutes."
