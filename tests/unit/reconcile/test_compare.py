"""What is amiss follows from rows and containers alone."""

from __future__ import annotations

import pytest

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.reconcile.compare import Findings, Wanted, compare

APP, INSTANCE, OTHER = AppId(1), InstanceId(10), InstanceId(11)
WANTED = [Wanted(APP, INSTANCE)]


@pytest.mark.parametrize("state", ["running", "restarting"])
def test_a_container_that_the_engine_cares_for_is_left_alone(state: str) -> None:
    found = compare(WANTED, {INSTANCE}, earlier={INSTANCE: state}, later={INSTANCE: state})
    assert found == Findings((), ())


@pytest.mark.parametrize("later", [{}, {INSTANCE: "exited"}, {INSTANCE: "created"}, {INSTANCE: "dead"}])
def test_a_serving_container_that_is_gone_or_ended_is_lost(later: dict[InstanceId, str]) -> None:
    assert compare(WANTED, {INSTANCE}, earlier=later, later=later).lost == (APP,)


def test_a_container_without_a_row_is_an_orphan() -> None:
    found = compare([], set(), earlier={OTHER: "running"}, later={OTHER: "running"})
    assert found == Findings((), (OTHER,))


def test_a_container_that_came_after_the_first_look_is_no_orphan() -> None:
    assert compare([], set(), earlier={}, later={OTHER: "running"}) == Findings((), ())


def test_an_instance_whose_container_came_after_the_rows_were_read_is_not_lost() -> None:
    assert compare(WANTED, {INSTANCE}, earlier={}, later={INSTANCE: "running"}) == Findings((), ())
