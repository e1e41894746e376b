"""Durable units of work: their kinds, pools and locks, and the retry policy as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId


class Kind(StrEnum):
    BUILD = "build"
    IMAGE = "image"
    RELEASE = "release"
    STOP = "stop"
    SLEEP = "sleep"
    WAKE = "wake"
    REMOVE = "remove"
    REPAIR = "repair"
    RETIRE = "retire"
    CLEANUP = "cleanup"
    MAIL = "mail"
    WEBHOOK = "webhook"
    EXPIRY = "expiry"
    HOUSEKEEPING = "housekeeping"


class Pool(StrEnum):
    BUILDS = "builds"
    IMAGES = "images"
    RELEASE = "release"
    WAKE = "wake"
    RETIRE = "retire"
    MAIL = "mail"
    HOUSEKEEPING = "housekeeping"


POOL_OF: dict[Kind, Pool] = {
    Kind.BUILD: Pool.BUILDS,
    Kind.IMAGE: Pool.IMAGES,
    Kind.RELEASE: Pool.RELEASE,
    Kind.STOP: Pool.RELEASE,
    Kind.SLEEP: Pool.RELEASE,
    Kind.REMOVE: Pool.RELEASE,
    Kind.REPAIR: Pool.RELEASE,
    Kind.WAKE: Pool.WAKE,
    Kind.RETIRE: Pool.RETIRE,
    Kind.CLEANUP: Pool.RETIRE,
    Kind.MAIL: Pool.MAIL,
    Kind.WEBHOOK: Pool.MAIL,
    Kind.EXPIRY: Pool.MAIL,
    Kind.HOUSEKEEPING: Pool.HOUSEKEEPING,
}


# What takes something away has been promised: it is tried until it is done, however long its cause lasts. Nothing else
# would let go of the route that a sleep holds, or end its container.
UNTIL_DONE = frozenset({Kind.STOP, Kind.SLEEP, Kind.REMOVE, Kind.RETIRE, Kind.CLEANUP, Kind.EXPIRY})


SHORTENS_AN_OUTAGE = frozenset({Kind.REPAIR, Kind.WAKE})


WAITS_FOR = "waits_for"  # argument of a build: the subjects of the image jobs that wake it


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


ORDINARY_PRIORITY = 0
RAISED_PRIORITY = 1  # plans with priority_builds, and what shortens somebody's outage


def build_lock(app: AppId) -> str:
    return f"build:{app}"


def app_lock(app: AppId) -> str:
    return f"app:{app}"


def slot_lock(app: AppId, slot: int) -> str:
    """The lock of retire and cleanup: under the app's lock, a drain would block stop, delete and rollback."""
    return f"slot:{app}:{slot}"


def cleanup_arguments(ended_in: Phase) -> dict[str, bool]:
    """A container that a route may have pointed at (`built`: in an earlier try) goes only after the proxy has
    confirmed the route that is right now."""
    return {"confirm": ended_in in (Phase.SWITCHING, Phase.BUILT, Phase.LIVE)}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter; the numbers are `[retries]` of config.toml."""

    attempts: int
    first_seconds: float
    factor: float
    longest_seconds: float
    jitter: float


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """`run_at` is None when the job is given up. `is_overdue`: people should hear of it, this time."""

    run_at: datetime | None
    is_overdue: bool = False


def next_attempt(
    policy: RetryPolicy, attempt: int, now: datetime, jitter: float, *, until_done: bool = False
) -> RetryDecision:
    """Decide when attempt number `attempt` + 1 runs. `jitter` is a random number in [-1, 1]."""
    if attempt >= policy.attempts and not until_done:
        return RetryDecision(None)
    growing = min(attempt, policy.attempts) - 1
    delay = min(policy.first_seconds * policy.factor**growing, policy.longest_seconds)
    run_at = now + timedelta(seconds=delay * (1 + policy.jitter * jitter))
    return RetryDecision(run_at, is_overdue=attempt % policy.attempts == 0)
