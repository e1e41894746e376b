"""APScheduler fires timers, which wake the dispatcher; it runs no job itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any

import structlog
from apscheduler.events import EVENT_SCHEDULER_SHUTDOWN
from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job as ScheduledJob
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from stackyn_server.domain.ids import JobId
from stackyn_server.domain.jobs import Kind
from stackyn_server.jobs.store import PostgresJobStore
from stackyn_server.store.claims import Timer

log = structlog.get_logger()


class Clock:
    """Wakes the dispatcher when the time of a row has come. A timer does not claim its row: at a cap of 2, 500 timers
    would consume 498 rows for nothing."""

    def __init__(self, kinds: Collection[Kind], fired: Callable[[JobId], None]) -> None:
        self.store = PostgresJobStore([kind.value for kind in kinds])
        self._kinds = frozenset(kind.value for kind in kinds)
        self._fired = fired
        self.scheduler: Any = AsyncIOScheduler(
            jobstores={"default": self.store},
            executors={"default": _TimerExecutor(fired)},
            timezone=UTC,
        )

    @property
    def is_running(self) -> bool:
        return bool(self.scheduler.running)

    def load(self, timers: Iterable[Timer]) -> None:
        """Set the timers of all rows that have a time or a schedule, and start. Loading 10,000 takes 0.2 s."""
        self.store.load(self._runnable(timers))
        self.scheduler.start()

    def arm(self, timers: Iterable[Timer]) -> None:
        """Set or move the timers of some rows."""
        for timer in self._runnable(timers):
            self.store.arm(timer)
        self.scheduler.wakeup()

    def disarm(self, jobs: Iterable[JobId]) -> None:
        """Drop the timers of rows that wait no more."""
        for job in jobs:
            self.store.disarm(str(job))

    async def stop(self) -> None:
        """Return when the scheduler has stopped. The rows stay as they are."""
        if not self.is_running:
            return
        stopped = asyncio.Event()
        self.scheduler.add_listener(lambda _: stopped.set(), EVENT_SCHEDULER_SHUTDOWN)
        self.scheduler.shutdown(wait=False)  # only asks the event loop to do it
        await stopped.wait()

    def _runnable(self, timers: Iterable[Timer]) -> list[Timer]:
        """Leave out rows of kinds that this release does not know: they wait for a release that does."""
        runnable = []
        for timer in timers:
            if timer.kind in self._kinds:
                runnable.append(timer)
            else:
                log.warning("job.kind_unknown", job=timer.id, kind=timer.kind)
        return runnable


class _TimerExecutor(BaseExecutor):  # type: ignore[misc]
    """Reports a timer instead of running a job: no task, no thread, nothing to cancel when the scheduler stops."""

    def __init__(self, fired: Callable[[JobId], None]) -> None:
        super().__init__()
        self._fired = fired

    def _do_submit_job(self, job: ScheduledJob, run_times: list[datetime]) -> None:
        self._fired(JobId(int(job.id)))
        # The base class counts the job as running after this call, so it ends in the loop's next round.
        asyncio.get_running_loop().call_soon(self._run_job_success, job.id, [])
