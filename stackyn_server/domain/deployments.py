"""The phases of a deployment, which may follow which, and the contract's word for each."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    QUEUED = "queued"
    FETCHING = "fetching"
    PLANNING = "planning"
    BUILDING = "building"
    BUILT = "built"
    RELEASING = "releasing"  # its release command runs
    BOOTING = "booting"
    PROBING = "probing"
    SWITCHING = "switching"
    LIVE = "live"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    REPLACED = "replaced"
    STOPPED = "stopped"  # it was live


class Status(StrEnum):
    """What published clients understand. `deploying` is never among them: they freeze on it."""

    PENDING = "pending"
    BUILDING = "building"
    RUNNING = "running"
    FAILED = "failed"
    STOPPED = "stopped"


class Cause(StrEnum):
    CREATE = "create"
    REDEPLOY = "redeploy"
    ROLLBACK = "rollback"
    RESTART = "restart"
    START = "start"


# Those that build a commit; the others run again what has run before.
BUILDING_CAUSES = frozenset({Cause.CREATE, Cause.REDEPLOY})

STATUS_OF: dict[Phase, Status] = dict.fromkeys(Phase, Status.BUILDING) | {
    Phase.QUEUED: Status.PENDING,
    Phase.LIVE: Status.RUNNING,
    Phase.FAILED: Status.FAILED,
    Phase.CANCELLED: Status.STOPPED,
    Phase.SUPERSEDED: Status.STOPPED,
    Phase.REPLACED: Status.STOPPED,
    Phase.STOPPED: Status.STOPPED,
}

_ENDINGS = frozenset({Phase.FAILED, Phase.CANCELLED, Phase.SUPERSEDED})

# Each phase leads to the next one of the way, back to where its job began (a retry), or to an ending.
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.QUEUED: frozenset({Phase.FETCHING}) | _ENDINGS,
    Phase.FETCHING: frozenset({Phase.PLANNING, Phase.QUEUED}) | _ENDINGS,
    Phase.PLANNING: frozenset({Phase.BUILDING, Phase.QUEUED}) | _ENDINGS,
    Phase.BUILDING: frozenset({Phase.BUILT, Phase.QUEUED}) | _ENDINGS,
    Phase.BUILT: frozenset({Phase.RELEASING, Phase.BOOTING}) | _ENDINGS,
    Phase.RELEASING: frozenset({Phase.BOOTING, Phase.BUILT}) | _ENDINGS,
    Phase.BOOTING: frozenset({Phase.PROBING, Phase.BUILT}) | _ENDINGS,
    Phase.PROBING: frozenset({Phase.SWITCHING, Phase.BUILT}) | _ENDINGS,
    Phase.SWITCHING: frozenset({Phase.LIVE, Phase.BUILT}) | _ENDINGS,
    Phase.LIVE: frozenset(
        {Phase.REPLACED, Phase.STOPPED, Phase.FAILED}
    ),  # failed: a first one that ends at once
    Phase.FAILED: frozenset(),
    Phase.CANCELLED: frozenset(),
    Phase.SUPERSEDED: frozenset(),
    Phase.REPLACED: frozenset(),
    Phase.STOPPED: frozenset(),
}

# Whose job brings a deployment out of a phase.
BUILD_PHASES = (Phase.QUEUED, Phase.FETCHING, Phase.PLANNING, Phase.BUILDING)
RELEASE_PHASES = (Phase.BUILT, Phase.RELEASING, Phase.BOOTING, Phase.PROBING, Phase.SWITCHING)

OPEN_PHASES = frozenset(phase for phase in Phase if TRANSITIONS[phase] and phase is not Phase.LIVE)


def may_follow(current: Phase, following: Phase) -> bool:
    return following in TRANSITIONS[current]


def status_of(phase: Phase) -> Status:
    return STATUS_OF[phase]
