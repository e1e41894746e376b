"""Rows of `job` for requests and handlers: enqueue, supersede, cancel, and say what a job waits for.

What only the dispatcher does, claiming and ending, is `store.claims`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from stackyn_server.domain.ids import AppId, DeploymentId, JobId, UserId
from stackyn_server.domain.jobs import KINDS, Arguments, JobState, Kind, Pool
from stackyn_server.store.database import Connection, Record, delete_rows
from stackyn_server.store.deployments import Deployment
from stackyn_server.store.queries import load

SQL = load("jobs")


@dataclass(frozen=True, slots=True)
class Job:
    """A row. `schedule` is the seconds between the runs of periodic work; times are the database's, aware UTC.

    `waits`: those of its attempts that ended because other work had to come first, or with their server.
    `after_app_work`: it is not claimed while its app has another open job.
    """

    id: JobId
    kind: Kind
    arguments: dict[str, Any]
    subject: str
    app: AppId | None
    tenant: UserId | None
    lock: str | None
    pool: Pool
    priority: int
    state: JobState
    cancel_requested: bool
    attempt: int
    waits: int
    after_app_work: bool
    epoch: int | None
    run_at: datetime | None
    schedule: float | None
    last_success: datetime | None
    error: str | None
    queued_at: datetime
    claimed_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def from_row(cls, row: Record) -> Job:
        values = {name: row[name] for name in cls.__dataclass_fields__}
        values["kind"], values["pool"] = Kind(row["kind"]), Pool(row["pool"])
        values["state"] = JobState(row["state"])
        return cls(**values)

    @property
    def tries(self) -> int:
        """The attempts that failed, and this one."""
        return self.attempt - self.waits


class WaitReason(StrEnum):
    """What a waiting job waits for."""

    TIME = "time"  # its `run_at`: the next attempt
    LOCK = "lock"  # another job of the same app
    SLOT = "slot"  # the previous instance, which still finishes its requests
    PLACE = "place"  # a free place in its pool; `position` says how many go first


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """`position` counts from 1 in its pool and is None before `run_at`. `error` is why the last attempt ended, and
    `attempt` counts the attempts that failed."""

    app: AppId
    kind: Kind
    subject: str
    attempt: int
    run_at: datetime | None
    error: str | None
    queued_at: datetime
    position: int | None
    reason: WaitReason


@dataclass(frozen=True, slots=True)
class PoolQueue:
    """One pool. `due` jobs may run now, `later` ones not yet; `oldest_seconds` is the longest wait of a due one."""

    pool: str
    running: int
    due: int
    later: int
    oldest_seconds: float


async def enqueue(
    connection: Connection,
    kind: Kind,
    subject: str | int,
    *,
    app: AppId | None = None,
    tenant: UserId | None = None,
    slot: int | None = None,
    arguments: Arguments | None = None,
    priority: int | None = None,
    run_at: datetime | None = None,
) -> JobId | None:
    """Add a job in the caller's transaction: it runs after the commit, never after a roll-back.

    Pool, lock and priority (unless given) are those of the kind. Returns None when an open job of this kind and subject
    exists already: that one is enough.
    """
    spec = KINDS[kind]
    stored = {} if arguments is None else arguments.as_json()
    priority = spec.priority if priority is None else priority
    lock = spec.lock_of(app, slot)
    values = (kind, str(subject), app, tenant, lock, stored, priority, spec.pool, run_at)
    job: JobId | None = await connection.fetchval(SQL.enqueue, *values)
    return job


async def enqueue_for_app(
    connection: Connection, kind: Kind, app: AppId, tenant: UserId | None, arguments: Arguments | None = None
) -> None:
    await enqueue(connection, kind, app, app=app, tenant=tenant, arguments=arguments)


async def enqueue_for_deployment(
    connection: Connection,
    kind: Kind,
    deployment: Deployment,
    arguments: Arguments | None = None,
    *,
    priority: int | None = None,
) -> None:
    app, tenant = deployment.app, deployment.tenant
    await enqueue(
        connection, kind, deployment.id, app=app, tenant=tenant, arguments=arguments, priority=priority
    )


async def amend(connection: Connection, kind: Kind, subject: str | int, arguments: Arguments) -> None:
    """Replace the arguments of the waiting job of this kind and subject; what its attempts remember stays."""
    await connection.execute(SQL.amend, kind, str(subject), arguments.as_json())


async def lock_open(connection: Connection, kind: Kind, subject: str) -> bool:
    """Return whether an open job of this kind and subject exists; it can't end before the transaction does."""
    return await connection.fetchval(SQL.lock_open, kind, subject) is not None


async def given_up_since(connection: Connection, kind: Kind, subject: str, since: datetime) -> str | None:
    """Return why the last job of this kind and subject was given up; None when none was since then."""
    row = await connection.fetchrow(SQL.given_up_since, kind, subject, since)
    return None if row is None else row["error"] or ""


async def wake_waiting_for(connection: Connection, kind: Kind, subject: str) -> None:
    """Let the jobs of this kind run whose arguments say that they wait for another job's `subject`."""
    await connection.execute(SQL.wake_waiting_for, kind, subject)


async def enqueue_at(
    connection: Connection, kind: Kind, subject: str | int, run_at: datetime, *, tenant: UserId | None = None
) -> None:
    """Add a job for a time, or move the time of the open job of this kind and subject."""
    spec = KINDS[kind]
    await connection.execute(SQL.enqueue_at, kind, str(subject), tenant, spec.priority, spec.pool, run_at)


async def supersede_waiting(
    connection: Connection, kind: Kind, app: AppId, *, before: DeploymentId | None = None
) -> list[str]:
    """End the app's waiting jobs of this kind and return their subjects: change only their deployments afterwards.

    With `before`, the jobs of that deployment and of later ones go on waiting.
    """
    return [row["subject"] for row in await connection.fetch(SQL.supersede_waiting, kind, app, before)]


async def request_cancel(
    connection: Connection, *, app: AppId | None = None, kind: Kind | None = None, subject: str | None = None
) -> list[str]:
    """End waiting jobs and return their subjects; ask running ones to stop: they keep lock and place until they end.

    Raises ValueError when neither `app` nor `subject` narrows it down.
    """
    if app is None and subject is None:
        raise ValueError("an app or a subject must say which jobs to cancel")
    return [row["subject"] for row in await connection.fetch(SQL.request_cancel, app, kind, subject)]


async def shorten_retire_deadlines(connection: Connection, app: AppId, grace_seconds: float) -> None:
    """Let the app's open retire jobs drain for at most `grace_seconds` from now.

    Their `arguments["deadline"]` (seconds since the epoch, by the database's clock) moves earlier, never later.
    """
    await connection.execute(SQL.shorten_deadline, Kind.RETIRE, app, grace_seconds)


async def waiting(connection: Connection, apps: Iterable[AppId], priority_minutes: int) -> list[WaitingJob]:
    """Return the waiting jobs of `apps`, oldest first. `priority_minutes` is that of `[jobs]`."""
    rows = await connection.fetch(SQL.waiting, list(apps), priority_minutes * 60.0)
    return [
        WaitingJob(**{**row, "kind": Kind(row["kind"]), "reason": WaitReason(row["reason"])}) for row in rows
    ]


async def overview(connection: Connection) -> list[PoolQueue]:
    """Return each pool that has waiting or running jobs."""
    return [PoolQueue(**dict(row)) for row in await connection.fetch(SQL.overview)]


async def purge(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete at most `limit` jobs that ended more than `keep_days` ago; return how many."""
    return await delete_rows(connection, SQL.purge, keep_days, limit)
