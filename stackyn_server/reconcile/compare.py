"""What is amiss, decided from what the rows want and what the engine has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from stackyn_server.domain.ids import AppId, InstanceId

RUNNING = "running"
BROUGHT_BACK_BY_THE_ENGINE = frozenset({RUNNING, "restarting", "paused"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """An instance that should be up: its app is to run and its route serves it. `is_down`: it is recorded that its
    container does not run. `is_busy`: a job is about the app, and will see to it."""

    app: AppId
    instance: InstanceId
    is_down: bool = False
    is_busy: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """`lost`: apps whose serving container is gone or ended. `orphans`: containers that no row accounts for. `down` and
    `back`: instances that are not recorded as what they are."""

    lost: tuple[AppId, ...] = ()
    orphans: tuple[InstanceId, ...] = ()
    down: tuple[InstanceId, ...] = ()
    back: tuple[InstanceId, ...] = ()


def compare(
    wanted: Iterable[Wanted],
    known: Set[InstanceId],
    *,
    earlier: Mapping[InstanceId, str],
    later: Mapping[InstanceId, str],
) -> Findings:
    """`known` are the instances that hold a slot. `earlier` and `later` map an instance to its container's engine
    state, listed before and after the rows were read."""
    wanted = list(wanted)
    running = {want.instance for want in wanted if later.get(want.instance) == RUNNING}
    return Findings(
        lost=tuple(
            sorted(
                {
                    want.app
                    for want in wanted
                    if not want.is_busy and later.get(want.instance) not in BROUGHT_BACK_BY_THE_ENGINE
                }
            )
        ),
        orphans=tuple(sorted(earlier.keys() - known)),
        down=tuple(
            sorted(want.instance for want in wanted if not want.is_down and want.instance not in running)
        ),
        back=tuple(sorted(want.instance for want in wanted if want.is_down and want.instance in running)),
    )
