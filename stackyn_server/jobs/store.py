"""APScheduler's persistent job store over our `job` table.

The rows are the truth and PostgreSQL keeps them; this is their synchronous index, for APScheduler calls all eight
methods on the event loop, where nothing may wait. It is loaded from the rows before the scheduler starts and kept in
step by the dispatcher. A timer only ever says "look at the queue": removing one loses nothing.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.job import Job as ScheduledJob
from apscheduler.jobstores.base import BaseJobStore, ConflictingIdError, JobLookupError
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from stackyn_server.errors import StackynError
from stackyn_server.store.claims import Timer

_NEVER = float("inf")


class UnregisteredKind(StackynError):
    """A timer for a kind of job that this release doesn't know: nobody could run it."""

    code = "UNREGISTERED_KIND"


@dataclass(frozen=True, slots=True)
class _Entry:
    due_at: datetime | None  # None: paused
    id: str
    kind: str
    schedule: float | None

    @property
    def key(self) -> tuple[float, str]:
        return (_NEVER if self.due_at is None else self.due_at.timestamp(), self.id)


def fire() -> None:
    """The function that APScheduler stores with each timer. The executor of `jobs.clock` never calls it."""


class PostgresJobStore(BaseJobStore):  # type: ignore[misc]
    """Index of the rows that have a time in the future or a schedule, by id and by time."""

    def __init__(
        self, kinds: Collection[str], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__()
        self._kinds = frozenset(kinds)
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._order: list[tuple[float, str]] = []

    def load(self, timers: Iterable[Timer]) -> None:
        """Replace the index by these rows, before the scheduler starts."""
        self._entries = {entry.id: entry for entry in map(self._entry_of_row, timers)}
        self._order = sorted(entry.key for entry in self._entries.values())

    def arm(self, timer: Timer) -> None:
        """Add the timer of a row, or move it."""
        self._put(self._entry_of_row(timer))

    def disarm(self, job_id: str) -> None:
        """Drop the timer of a row that waits no more, if it has one."""
        if job_id in self._entries:
            self._drop(job_id)

    def lookup_job(self, job_id: str) -> ScheduledJob | None:
        entry = self._entries.get(job_id)
        return None if entry is None else self._as_job(entry)

    def get_due_jobs(self, now: datetime) -> list[ScheduledJob]:
        count = bisect.bisect_right(self._order, now.timestamp(), key=lambda item: item[0])
        return [self._as_job(self._entries[job_id]) for _, job_id in self._order[:count]]

    def get_next_run_time(self) -> datetime | None:
        return self._entries[self._order[0][1]].due_at if self._order else None

    def get_all_jobs(self) -> list[ScheduledJob]:
        return [self._as_job(self._entries[job_id]) for _, job_id in self._order]

    def add_job(self, job: ScheduledJob) -> None:
        """Arm the row that `job.id` names. Raises `UnregisteredKind` (the kind is the job's name)."""
        if job.id in self._entries:
            raise ConflictingIdError(job.id)
        self._put(self._entry_of_job(job))

    def update_job(self, job: ScheduledJob) -> None:
        """Re-arm. The row is not touched: APScheduler calls this before a job runs, and a run that then dies must
        still be due. `run_at` moves in the transaction that ends the run."""
        if job.id not in self._entries:
            raise JobLookupError(job.id)
        self._put(self._entry_of_job(job))

    def remove_job(self, job_id: str) -> None:
        """Drop the timer, never the row."""
        if job_id not in self._entries:
            raise JobLookupError(job_id)
        self._drop(job_id)

    def remove_all_jobs(self) -> None:
        self._entries.clear()
        self._order.clear()

    def _entry_of_row(self, timer: Timer) -> _Entry:
        due_at = self._now() + timedelta(seconds=timer.seconds)
        return _Entry(due_at, str(timer.id), self._registered(timer.kind), timer.schedule)

    def _entry_of_job(self, job: ScheduledJob) -> _Entry:
        trigger = job.trigger
        schedule = trigger.interval.total_seconds() if isinstance(trigger, IntervalTrigger) else None
        return _Entry(job.next_run_time, job.id, self._registered(job.name), schedule)

    def _registered(self, kind: str) -> str:
        if kind not in self._kinds:
            raise UnregisteredKind(f"This release can't run jobs of the kind {kind!r}.")
        return kind

    def _as_job(self, entry: _Entry) -> ScheduledJob:
        job = ScheduledJob(
            self._scheduler,
            id=entry.id,
            name=entry.kind,
            func=fire,
            args=(),
            kwargs={},
            trigger=_trigger(entry),
            executor="default",
            misfire_grace_time=None,  # a late timer still fires
            coalesce=True,  # several missed times fire it once
            max_instances=1,
            next_run_time=entry.due_at,
        )
        job._jobstore_alias = self._alias
        return job

    def _put(self, entry: _Entry) -> None:
        if entry.id in self._entries:
            self._drop(entry.id)
        self._entries[entry.id] = entry
        bisect.insort(self._order, entry.key)

    def _drop(self, job_id: str) -> None:
        key = self._entries.pop(job_id).key
        del self._order[bisect.bisect_left(self._order, key)]


def _trigger(entry: _Entry) -> DateTrigger | IntervalTrigger:
    if entry.schedule is None:
        return DateTrigger(entry.due_at, timezone=UTC)
    return IntervalTrigger(seconds=entry.schedule, start_date=entry.due_at, timezone=UTC)
