"""Durable units of work: one row of `KINDS` for each kind of job, and the retry policy as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from stackyn_server.domain.ids import AppId, InstanceId


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


ORDINARY_PRIORITY = 0
RAISED_PRIORITY = 1  # plans with priority_builds, and jobs that shorten an outage


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a job is told beside its subject. The row may hold more than the fields: what its attempts remember."""

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Self:
        return cls(**{field.name: stored[field.name] for field in fields(cls) if field.name in stored})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BuildArguments(Arguments):
    waits_for: Sequence[str] = ()  # the subjects of the image jobs that wake the build


@dataclass(frozen=True, slots=True)
class ReleaseArguments(Arguments):
    waits_for: Sequence[str] = ()  # the deleted apps whose remove jobs wake the release


@dataclass(frozen=True, slots=True)
class WakeArguments(Arguments):
    """`restores_release`: of a rollout that failed. When such a wake fails, the app has failed and nobody tries again.
    `has_moved`: the held requests were given the address of another port."""

    restores_release: bool = False
    has_moved: bool = False


@dataclass(frozen=True, slots=True)
class RepairArguments(Arguments):
    """`restart`: the instance that runs and does not answer, for `reason`."""

    restart: InstanceId | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RetireArguments(Arguments):
    deadline: float  # of the drain: seconds since the epoch, by the database's clock


@dataclass(frozen=True, slots=True)
class MailArguments(Arguments):
    sealed: str
    only_to_accounts: bool = False
    useless_after: str | None = None  # ISO 8601


@dataclass(frozen=True, slots=True)
class KindSpec:
    """`lock` is a template: of all jobs with the same lock one runs at a time. `until_done`: never given up."""

    pool: Pool
    lock: str | None = None
    priority: int = ORDINARY_PRIORITY
    arguments: type[Arguments] = Arguments
    until_done: bool = False

    def lock_of(self, app: AppId | None, slot: int | None = None) -> str | None:
        return None if self.lock is None or app is None else self.lock.format(app=app, slot=slot)


_BUILD, _APP = "build:{app}", "app:{app}"
_SLOT = "slot:{app}:{slot}"  # under the app's lock, a drain would block stop, delete and rollback

# What takes something away must happen, so it is tried until it is done: nothing else would release the route that a
# sleep holds, or end its container. The handlers are joined in `wiring`.
KINDS: Mapping[Kind, KindSpec] = {
    Kind.BUILD: KindSpec(Pool.BUILDS, _BUILD, arguments=BuildArguments),
    Kind.IMAGE: KindSpec(Pool.IMAGES),
    Kind.RELEASE: KindSpec(Pool.RELEASE, _APP, arguments=ReleaseArguments),
    Kind.STOP: KindSpec(Pool.RELEASE, _APP, until_done=True),
    Kind.SLEEP: KindSpec(Pool.RELEASE, _APP, until_done=True),
    Kind.WAKE: KindSpec(Pool.WAKE, _APP, RAISED_PRIORITY, WakeArguments),
    Kind.REMOVE: KindSpec(Pool.RELEASE, _APP, until_done=True),
    Kind.REPAIR: KindSpec(Pool.RELEASE, _APP, RAISED_PRIORITY, RepairArguments),
    Kind.RETIRE: KindSpec(Pool.RETIRE, _SLOT, arguments=RetireArguments, until_done=True),
    Kind.CLEANUP: KindSpec(Pool.RETIRE, until_done=True),
    Kind.MAIL: KindSpec(Pool.MAIL, None, RAISED_PRIORITY, MailArguments),
    Kind.EXPIRY: KindSpec(Pool.MAIL, None, RAISED_PRIORITY, until_done=True),
    Kind.HOUSEKEEPING: KindSpec(Pool.HOUSEKEEPING),
}


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


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
