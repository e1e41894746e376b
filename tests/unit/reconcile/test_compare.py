"""Rows and containers are enough to tell what differs."""

from __future__ import annotations

from collections.abc import Iterable, Set

import pytest

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.reconcile.compare import DesiredInstance, Differences, compare

APP, INSTANCE, OTHER = AppId(1), InstanceId(10), InstanceId(11)
DESIRED = [DesiredInstance(APP, INSTANCE)]
Listed = dict[InstanceId, str]


def differences(
    desired: Iterable[DesiredInstance],
    with_slot: Set[InstanceId],
    before: Listed,
    after: Listed | None = None,
) -> Differences:
    """Compare with containers that are the same before and after the rows were read, without `after`."""
    return compare(desired, with_slot, listed_before=before, listed_after=before if after is None else after)


@pytest.mark.parametrize("state", ["running", "restarting", "paused"])
def test_a_container_that_the_engine_restarts_is_not_lost(state: str) -> None:
    result = differences(DESIRED, {INSTANCE}, {INSTANCE: state})
    assert (result.lost, result.orphans) == ((), ())


@pytest.mark.parametrize("state", [None, "restarting", "paused", "exited", "created", "dead"])
def test_a_stopped_instance_is_down_until_it_runs_again(state: str | None) -> None:
    listed = {INSTANCE: state} if state else {}
    recorded_down = [DesiredInstance(APP, INSTANCE, is_down=True)]
    assert differences(DESIRED, {INSTANCE}, listed).down == (INSTANCE,)
    assert differences(recorded_down, {INSTANCE}, listed).down == (), "it is recorded already"
    assert differences(recorded_down, {INSTANCE}, listed).back == ()
    assert differences(recorded_down, {INSTANCE}, listed, {INSTANCE: "running"}).back == (INSTANCE,)


@pytest.mark.parametrize("listed", [{}, {INSTANCE: "exited"}, {INSTANCE: "created"}, {INSTANCE: "dead"}])
def test_a_serving_container_that_is_gone_or_ended_is_lost(listed: Listed) -> None:
    assert differences(DESIRED, {INSTANCE}, listed).lost == (APP,)


def test_a_busy_app_is_not_repaired_but_recorded_as_down() -> None:
    busy = [DesiredInstance(APP, INSTANCE, is_busy=True)]
    assert differences(busy, {INSTANCE}, {}) == Differences(down=(INSTANCE,))


def test_a_container_without_a_row_is_an_orphan() -> None:
    assert differences([], set(), {OTHER: "running"}) == Differences(orphans=(OTHER,))


def test_a_container_created_after_the_first_list_is_no_orphan() -> None:
    assert differences([], set(), {}, {OTHER: "running"}) == Differences()


def test_a_container_created_after_the_rows_is_not_lost() -> None:
    assert differences(DESIRED, {INSTANCE}, {}, {INSTANCE: "running"}) == Differences()


def test_an_instance_behind_a_closed_proxy_is_down_and_not_lost() -> None:
    """Nobody reaches it, and its container needs no repair."""
    recorded_down = [DesiredInstance(APP, INSTANCE, is_down=True)]
    listed = {INSTANCE: "running"}
    closed = [
        compare(rows, {INSTANCE}, listed_before=listed, listed_after=listed, is_reachable=False)
        for rows in (DESIRED, recorded_down)
    ]
    assert closed == [Differences(down=(INSTANCE,)), Differences()]
