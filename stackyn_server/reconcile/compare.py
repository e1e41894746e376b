"""Compares the instances that should run with the engine's containers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from stackyn_server.domain.ids import AppId, InstanceId

RUNNING = "running"
KEPT_BY_THE_ENGINE = frozenset({RUNNING, "restarting", "paused"})


@dataclass(frozen=True, slots=True)
class DesiredInstance:
    """An instance that should run: its app is wanted running, and the app's route serves it.

    `is_down`: the instance is recorded as not running. `is_busy`: a job works on the app, and repairs it if needed.
    """

    app: AppId
    instance: InstanceId
    is_down: bool = False
    is_busy: bool = False


@dataclass(frozen=True, slots=True)
class Differences:
    """`lost`: apps whose serving container is gone or has ended. `orphans`: containers without a row.

    `down`, `back`: instances that stopped or run again, and whose rows do not say so yet.
    """

    lost: tuple[AppId, ...] = ()
    orphans: tuple[InstanceId, ...] = ()
    down: tuple[InstanceId, ...] = ()
    back: tuple[InstanceId, ...] = ()


def compare(
    desired: Iterable[DesiredInstance],
    with_slot: Set[InstanceId],
    *,
    listed_before: Mapping[InstanceId, str],
    listed_after: Mapping[InstanceId, str],
    is_reachable: bool = True,
) -> Differences:
    """Return what differs.

    `with_slot`: the instances that hold a slot. `listed_before` and `listed_after`: the engine's state of each
    instance's container, listed before and after the rows were read. `is_reachable`: the proxy accepts connections; no
    instance counts as running otherwise, and none is lost by that.
    """
    desired = list(desired)
    running = {row.instance for row in desired if is_reachable and listed_after.get(row.instance) == RUNNING}
    lost = {
        row.app
        for row in desired
        if not row.is_busy and listed_after.get(row.instance) not in KEPT_BY_THE_ENGINE
    }
    return Differences(
        lost=tuple(sorted(lost)),
        orphans=tuple(sorted(listed_before.keys() - with_slot)),
        down=tuple(
            sorted(row.instance for row in desired if not row.is_down and row.instance not in running)
        ),
        back=tuple(sorted(row.instance for row in desired if row.is_down and row.instance in running)),
    )
