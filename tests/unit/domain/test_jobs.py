"""The retry policy is a value: the same numbers decide the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyn_server.domain.jobs import KINDS, BuildArguments, Kind, RetryPolicy, next_attempt

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(attempts=5, first_seconds=2, factor=2, longest_seconds=10, jitter=0.2)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2), (2, 4), (3, 8), (4, 10)])
def test_the_pause_doubles_up_to_the_longest(attempt: int, seconds: float) -> None:
    assert next_attempt(POLICY, attempt, NOW, jitter=0).run_at == NOW + timedelta(seconds=seconds)


def test_after_the_last_attempt_there_is_none() -> None:
    assert next_attempt(POLICY, 5, NOW, jitter=0).run_at is None


@given(st.integers(1, 100_000))
def test_a_job_tried_until_done_always_has_a_next_attempt(attempt: int) -> None:
    decision = next_attempt(POLICY, attempt, NOW, jitter=0, until_done=True)

    assert decision.run_at is not None and decision.run_at <= NOW + timedelta(seconds=10)
    assert decision.is_overdue == (attempt % 5 == 0)


@given(st.integers(1, 4), st.floats(-1, 1))
def test_jitter_stays_within_its_share(attempt: int, jitter: float) -> None:
    plain = next_attempt(POLICY, attempt, NOW, jitter=0).run_at
    shaken = next_attempt(POLICY, attempt, NOW, jitter=jitter).run_at
    assert plain is not None and shaken is not None
    assert abs((shaken - NOW) / (plain - NOW) - 1) <= 0.2 + 1e-6


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_row(kind: Kind) -> None:
    assert kind in KINDS


def test_parsed_arguments_leave_the_counts_of_a_row_aside() -> None:
    stored = {**BuildArguments(["node"]).as_json(), "readings": 3}
    assert BuildArguments.parse(stored) == BuildArguments(["node"])
