"""Periodic work: one job row for each, run like any other job; people see when its last success is too old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog

from stackyn_server.errors import StackynError, Unavailable
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.run import Handler, JobRun
from stackyn_server.pause import Pause
from stackyn_server.store import claims, events
from stackyn_server.store.database import Database
from stackyn_server.store.failures import Contention, DatabaseUnavailable

log = structlog.get_logger()


class TookTooLong(Unavailable):
    """A run of periodic work was ended at its limit."""

    code = "TOOK_TOO_LONG"


@dataclass(frozen=True, slots=True)
class Periodic:
    """Periodic work. `every`: seconds from the end of a run to the next; `late_after`: seconds after the last success
    when the work is reported as late; `limit`: seconds after which a run is ended."""

    name: str
    every: float
    late_after: float
    limit: float
    work: Handler


@dataclass(frozen=True, slots=True)
class PeriodicReport:
    """How one work is doing. `quiet_seconds`: since its last success, or since this server began."""

    name: str
    is_late: bool
    last_success: datetime | None
    quiet_seconds: float
    late_after: float
    running_seconds: float | None
    next_run: datetime | None
    error: str | None


class PeriodicWork:
    """The registry of periodic work. It is the handler of `housekeeping` jobs, whose subject is the name."""

    def __init__(
        self,
        database: Database,
        leadership: Leadership,
        works: Iterable[Periodic],
        *,
        watch_seconds: float,
        pause: Pause,
    ) -> None:
        self._database = database
        self._leadership = leadership
        self._works = {work.name: work for work in works}
        self._watch_seconds = watch_seconds
        self._pause = pause
        self._late: set[str] = set()
        self._began = asyncio.get_running_loop().time()

    async def __call__(self, run: JobRun) -> None:
        """Run the work that the job names. Raises `TookTooLong`, and what the work raises."""
        work = self._works.get(run.job.subject)
        if work is None:
            raise StackynError("This release has no such periodic work.")
        try:
            async with asyncio.timeout(work.limit) as limit:
                await work.work(run)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TookTooLong(f"It took longer than {work.limit:.0f} s and was ended.") from error

    async def upsert(self) -> None:
        """Upsert the rows: new names run soon, existing ones when they are due; rows of other names are retired."""
        async with self._database.transaction() as connection:
            schedules = {work.name: work.every for work in self._works.values()}
            await claims.upsert_periodic(connection, self._leadership.epoch, schedules)

    async def report(self) -> list[PeriodicReport]:
        """Say how each is doing, by name. Raises `DatabaseUnavailable`."""
        up_seconds = asyncio.get_running_loop().time() - self._began
        async with self._database.connection() as connection:
            rows = await claims.periodic(connection, up_seconds)
        return [
            PeriodicReport(
                name=row.name,
                is_late=row.quiet_seconds > work.late_after,
                last_success=row.last_success,
                quiet_seconds=row.quiet_seconds,
                late_after=work.late_after,
                running_seconds=row.running_seconds,
                next_run=row.run_at,
                error=row.error,
            )
            for row in rows
            if (work := self._works.get(row.name))
        ]

    async def watch(self) -> None:
        """Upsert the rows, then record an event when one becomes late or recovers. Run it as a supervised task."""
        while True:
            try:
                await self.upsert()
                while True:
                    await self._look()
                    await asyncio.sleep(self._watch_seconds)
            except (DatabaseUnavailable, Contention) as error:
                if self._pause.is_first:
                    log.warning("periodic.unwatched", reason=error.message)
            await self._pause.wait()

    async def _look(self) -> None:
        for work in await self.report():
            if work.is_late == (work.name in self._late):
                continue
            async with self._database.transaction() as connection:
                await self._leadership.check(connection)
                name = "periodic.late" if work.is_late else "periodic.recovered"
                data = {
                    "work": work.name,
                    "quiet_seconds": round(work.quiet_seconds, 1),
                    "late_after": work.late_after,
                    "running_seconds": work.running_seconds,
                    "error": work.error,
                }
                await events.append(connection, name, data=data)
            log.warning(name, work=work.name, quiet_seconds=work.quiet_seconds, error=work.error)
            self._late ^= {work.name}
        self._pause.reset()
