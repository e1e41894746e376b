"""What is amiss follows from rows and containers alone."""

from __future__ import annotations

import pytest

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.reconcile.compare import Findings, Wanted, compare

APP, INSTANCE, OTHER = AppId(1), InstanceId(10), InstanceId(11)
WANTED = [Wanted(APP, INSTANCE)]


@pytest.mark.parametrize("state", ["running", "restarting", "paused"])
def test_a_container_that_the_engine_cares_for_is_left_alone(state: str) -> None:
    found = compare(WANTED, {INSTANCE}, earlier={INSTANCE: state}, later={INSTANCE: state})
    assert (found.lost, found.orphans) == ((), ())


@pytest.mark.parametrize("state", [None, "restarting", "paused", "exited", "created", "dead"])
def test_what_does_not_run_is_down_until_it_runs_again(state: str | None) -> None:
    there = {INSTANCE: state} if state else {}
    marked = [Wanted(APP, INSTANCE, is_down=True)]
    assert compare(WANTED, {INSTANCE}, earlier=there, later=there).down == (INSTANCE,)
    assert compare(marked, {INSTANCE}, earlier=there, later=there).down == (), "it is recorded already"
    assert compare(marked, {INSTANCE}, earlier=there, later=there).back == ()
    assert compare(marked, {INSTANCE}, earlier=there, later={INSTANCE: "running"}).back == (INSTANCE,)


@pytest.mark.parametrize("later", [{}, {INSTANCE: "exited"}, {INSTANCE: "created"}, {INSTANCE: "dead"}])
def test_a_serving_container_that_is_gone_or_ended_is_lost(later: dict[InstanceId, str]) -> None:
    assert compare(WANTED, {INSTANCE}, earlier=later, later=later).lost == (APP,)


def test_what_a_job_is_about_is_left_to_it_but_shown_as_it_is() -> None:
    found = compare([Wanted(APP, INSTANCE, is_busy=True)], {INSTANCE}, earlier={}, later={})
    assert found == Findings(down=(INSTANCE,))


def test_a_container_without_a_row_is_an_orphan() -> None:
    found = compare([], set(), earlier={OTHER: "running"}, later={OTHER: "running"})
    assert found == Findings(orphans=(OTHER,))


def test_a_container_that_came_after_the_first_look_is_no_orphan() -> None:
    assert compare([], set(), earlier={}, later={OTHER: "running"}) == Findings()


def test_an_instance_whose_container_came_after_the_rows_were_read_is_not_lost() -> None:
    assert compare(WANTED, {INSTANCE}, earlier={}, later={INSTANCE: "running"}) == Findings()
