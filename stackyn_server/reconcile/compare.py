"""What is amiss, decided from what the rows want and what the engine has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from stackyn_server.domain.ids import AppId, InstanceId

BROUGHT_BACK_BY_THE_ENGINE = frozenset({"running", "restarting", "paused"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """An instance that should be up: its app is to run, its route serves it, and no job is about the app."""

    app: AppId
    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Findings:
    """`lost`: apps whose serving container is gone or ended. `orphans`: containers that no row accounts for."""

    lost: tuple[AppId, ...]
    orphans: tuple[InstanceId, ...]


def compare(
    wanted: Iterable[Wanted],
    known: Set[InstanceId],
    *,
    earlier: Mapping[InstanceId, str],
    later: Mapping[InstanceId, str],
) -> Findings:
    """`known` are the instances that hold a slot. `earlier` and `later` map an instance to its container's engine
    state, listed before and after the rows were read."""
    lost = {want.app for want in wanted if later.get(want.instance) not in BROUGHT_BACK_BY_THE_ENGINE}
    return Findings(tuple(sorted(lost)), tuple(sorted(earlier.keys() - known)))
