"""Rows of `job` for the dispatcher of the leading server: claim, end, requeue what no task works on, timers.

All writes are fenced by the epoch. `LeadershipLost`: another server leads now. `NotRunning`: the row of this attempt
has been ended already, or was deleted with its app.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackyn_server.domain.deployments import BUILD_PHASES, RELEASE_PHASES
from stackyn_server.domain.ids import JobId
from stackyn_server.domain.jobs import KINDS, Kind, Pool
from stackyn_server.errors import Conflict
from stackyn_server.store import installation
from stackyn_server.store.database import Connection
from stackyn_server.store.installation import LeadershipLost
from stackyn_server.store.jobs import Job
from stackyn_server.store.queries import load

SQL = load("claims")

CLAIM_LOCK = 7_382_160_542  # an advisory lock's key, of this database; the migrator has the number below


class NotRunning(Conflict):
    """The row of this attempt was already ended by another writer; the handler must stop."""


@dataclass(frozen=True, slots=True)
class Timer:
    """When to look at a row again: `seconds` from now, and for periodic work each `schedule` seconds after."""

    id: JobId
    kind: str
    schedule: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class RequeuedJob:
    """A row that waits again, or was added, because no task worked on its subject."""

    id: JobId
    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class PeriodicRow:
    """A row of periodic work. Times of the database; `quiet_seconds` since its last success."""

    name: str
    schedule: float
    last_success: datetime | None
    run_at: datetime | None
    error: str | None
    quiet_seconds: float
    running_seconds: float | None


async def claim(
    connection: Connection, epoch: int, pool: Pool, cap: int, kinds: Collection[Kind], priority_minutes: int
) -> Job | None:
    """Mark the next runnable job of `pool` as running and return it; None when none can run or `cap` run already.

    Call it in a transaction of its own. Order: priority, raised by one for each `priority_minutes` without a claim;
    then the tenant whose last claim in this pool is longest ago; then age.
    """
    await connection.execute(SQL.lock, CLAIM_LOCK)
    row = await connection.fetchrow(SQL.claim, epoch, pool, cap, priority_minutes * 60.0, list(kinds))
    if row is None or not row["leading"]:
        raise LeadershipLost
    return None if row["id"] is None else Job.from_row(row)


async def due_pools(connection: Connection, pools: Collection[Pool]) -> list[Pool]:
    """Return those of `pools` that have a row whose time has come."""
    return [Pool(row["pool"]) for row in await connection.fetch(SQL.due_pools, list(pools))]


async def finish(connection: Connection, job: Job, epoch: int) -> None:
    """Job → done; periodic work → waiting for its next time."""
    await _check_moved(connection, epoch, await connection.fetchval(SQL.finish, job.id, job.attempt, epoch))


async def retry(connection: Connection, job: Job, epoch: int, run_at: datetime | None, reason: str) -> None:
    """Job → waiting, not before `run_at` (None: as soon as there is a place)."""
    moved = await connection.fetchval(SQL.retry, job.id, job.attempt, epoch, run_at, reason)
    await _check_moved(connection, epoch, moved)


async def wait(
    connection: Connection,
    job: Job,
    epoch: int,
    run_at: datetime | None,
    reason: str,
    *,
    after_app_work: bool = False,
) -> None:
    """Job → waiting because other work has to come first, at the latest until `run_at` (None: without a limit).

    `after_app_work`: it is not claimed while its app has another open job.
    """
    moved = await connection.fetchval(SQL.wait, job.id, job.attempt, epoch, run_at, reason, after_app_work)
    await _check_moved(connection, epoch, moved)


async def mark_dead(connection: Connection, job: Job, epoch: int, reason: str) -> None:
    """Job → dead: kept and visible, never run again."""
    await _check_moved(
        connection, epoch, await connection.fetchval(SQL.mark_dead, job.id, job.attempt, epoch, reason)
    )


async def remember(connection: Connection, job: Job, epoch: int, values: dict[str, Any]) -> None:
    """Keep values beside the job's arguments, for all its attempts."""
    await _check_moved(
        connection, epoch, await connection.fetchval(SQL.remember, job.id, job.attempt, epoch, values)
    )


async def _check_moved(connection: Connection, epoch: int, job_id: int | None) -> None:
    if job_id is not None:
        return
    await installation.check_epoch(connection, epoch)
    raise NotRunning("The job's attempt has been ended already.")


async def requeue_stalled(connection: Connection, epoch: int, live: Collection[JobId]) -> list[RequeuedJob]:
    """Running rows that are of an older epoch, or of ours and not in `live` → waiting. That counts as no failure."""
    rows = await connection.fetch(SQL.requeue_stalled, epoch, list(live))
    if not rows[0]["leading"]:
        raise LeadershipLost
    return [RequeuedJob(row["id"], row["kind"], row["subject"]) for row in rows if row["id"] is not None]


async def add_missing(connection: Connection, epoch: int) -> list[RequeuedJob]:
    """Add the missing job of every open deployment that has none, and return these jobs. There should be none."""
    needed = [
        (phase, kind, KINDS[kind].lock, KINDS[kind].pool)
        for phases, kind in ((BUILD_PHASES, Kind.BUILD), (RELEASE_PHASES, Kind.RELEASE))
        for phase in phases
    ]
    rows = await connection.fetch(SQL.add_missing, epoch, *map(list, zip(*needed, strict=True)))
    return [RequeuedJob(row["id"], row["kind"], row["subject"]) for row in rows]


async def timers(
    connection: Connection, ids: Collection[JobId] | None = None, *, within_seconds: float | None = None
) -> list[Timer]:
    """Return the rows (of `ids`, default all) that have a time in the future or a schedule.

    `within_seconds` leaves out those whose time is farther ahead.
    """
    rows = await connection.fetch(SQL.timers, None if ids is None else list(ids), within_seconds)
    return [Timer(**dict(row)) for row in rows]


async def cancelled(connection: Connection, live: Collection[JobId]) -> list[JobId]:
    """Return those of the running rows `live` that were asked to stop."""
    return [row["id"] for row in await connection.fetch(SQL.cancelled, list(live))]


async def was_cancelled(connection: Connection, job: JobId) -> bool:
    """Return whether the job was asked to stop. Until the transaction ends, nobody else can ask it."""
    return await connection.fetchval(SQL.was_cancelled, job) is True


async def arguments(connection: Connection, job: JobId) -> dict[str, Any]:
    """Return the row's arguments as they are now ({} when it is gone)."""
    stored: dict[str, Any] | None = await connection.fetchval(SQL.arguments, job)
    return stored or {}


async def is_running(connection: Connection, job: JobId) -> bool:
    """False when its row has been ended, or waits for another attempt."""
    return bool(await connection.fetchval(SQL.is_running, job))


async def database_now(connection: Connection) -> datetime:
    now: datetime = await connection.fetchval(SQL.database_now)
    return now


async def shift(connection: Connection, epoch: int, seconds: float) -> int:
    """Bring the next attempts and periods of waiting rows forward by `seconds`; return how many rows."""
    return len(await connection.fetch(SQL.shift, epoch, seconds))


async def upsert_periodic(connection: Connection, epoch: int, schedules: Mapping[str, float]) -> None:
    """Upsert the rows of periodic work (name → seconds between runs) and retire those of other names."""
    kind, names, seconds = Kind.HOUSEKEEPING, list(schedules), list(schedules.values())
    await connection.execute(SQL.upsert_periodic, epoch, kind, KINDS[kind].pool, names, seconds)
    await connection.execute(SQL.retire_periodic, epoch, kind, names)


async def periodic(connection: Connection, up_seconds: float) -> list[PeriodicRow]:
    """Return the rows of periodic work. `up_seconds`: how long this server leads; silence before doesn't count."""
    rows = await connection.fetch(SQL.periodic, Kind.HOUSEKEEPING, up_seconds)
    return [PeriodicRow(**dict(row)) for row in rows]
