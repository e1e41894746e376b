"""Our job store under the real scheduler, over real rows, with a restart of the scheduler between the steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.jobstores.base import JobLookupError

from stackyn_server.domain.ids import JobId
from stackyn_server.domain.jobs import Kind
from stackyn_server.jobs.clock import Clock
from stackyn_server.jobs.run import JobRun
from stackyn_server.jobs.store import UnregisteredKind, fire
from stackyn_server.store import claims
from stackyn_server.store.claims import Timer
from stackyn_server.store.database import Connection, Database
from tests.integration.jobs.stage import dispatching, lead, put, row, rows, until


@asynccontextmanager
async def clock(database: Database, fired: list[JobId] | None = None) -> AsyncIterator[Clock]:
    """A scheduler as after a start of the server: its store loaded from the rows."""
    clock = Clock([Kind.MAIL, Kind.HOUSEKEEPING], (fired if fired is not None else []).append)
    async with database.connection() as connection:
        clock.load(await claims.timers(connection))
    try:
        yield clock
    finally:
        await clock.stop()


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def near(moment: datetime | None, other: datetime | None) -> bool:
    assert moment is not None and other is not None
    return abs((moment - other).total_seconds()) < 0.5


async def test_all_eight_methods_with_a_restart_between_each(database: Database) -> None:
    await lead(database)
    first = await put(database, Kind.MAIL, 1, run_at=in_seconds(3600))
    second = await put(database, Kind.MAIL, 2, run_at=in_seconds(7200))
    stored = {str(job): (await row(database, job)).run_at for job in (first, second)}

    async with clock(database) as one:  # lookup_job
        assert near(one.scheduler.get_job(str(first)).next_run_time, stored[str(first)])
        assert one.scheduler.get_job("999") is None
    async with clock(database) as one:  # get_due_jobs
        assert one.store.get_due_jobs(datetime.now(UTC)) == []
        assert [job.id for job in one.store.get_due_jobs(in_seconds(3700))] == [str(first)]
    async with clock(database) as one:  # get_next_run_time
        assert near(one.store.get_next_run_time(), stored[str(first)])
    async with clock(database) as one:  # get_all_jobs
        assert [job.id for job in one.scheduler.get_jobs()] == [str(first), str(second)]
    async with clock(database) as one:  # add_job: of a row, by its id, of a registered kind
        later = in_seconds(5400)
        third = await put(database, Kind.MAIL, 3, run_at=later)
        options = {"trigger": "date", "run_date": later, "id": str(third), "misfire_grace_time": None}
        one.scheduler.add_job(fire, name="mail", **options)
        assert [job.id for job in one.scheduler.get_jobs()] == [str(first), str(third), str(second)]
        with pytest.raises(UnregisteredKind):
            one.scheduler.add_job(fire, name="unheard-of", **{**options, "id": "77"})
    async with clock(database) as one:  # update_job: the index moves, the row does not
        assert str(third) in [job.id for job in one.scheduler.get_jobs()], "what was added is still there"
        one.scheduler.modify_job(str(third), next_run_time=in_seconds(10))
        assert one.scheduler.get_jobs()[0].id == str(third)
        assert (await row(database, third)).run_at == later
    async with clock(database) as one:  # remove_job: the timer goes, the row stays
        assert near(one.scheduler.get_job(str(third)).next_run_time, later), "the row's time counts again"
        one.scheduler.remove_job(str(third))
        with pytest.raises(JobLookupError):
            one.scheduler.remove_job(str(third))
        assert (await row(database, third)).state == "waiting"
    async with clock(database) as one:  # remove_all_jobs
        assert str(third) in [job.id for job in one.scheduler.get_jobs()]
        one.scheduler.remove_all_jobs()
        assert one.scheduler.get_jobs() == []
    async with clock(database) as one:
        assert len(one.scheduler.get_jobs()) == 3
    assert len(await rows(database, "state = 'waiting'")) == 3


async def test_a_timer_fires_once_and_is_gone(database: Database) -> None:
    await lead(database)
    job = await put(database, Kind.MAIL, 1, run_at=in_seconds(1))
    fired: list[JobId] = []
    async with clock(database, fired) as one:
        await until(lambda: fired == [job], "it fires")
        assert one.scheduler.get_jobs() == []
        await asyncio.sleep(0)
    assert fired == [job]


async def test_a_periodic_timer_fires_again_and_moves_no_row(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        await claims.upsert_periodic(connection, 1, {"garbage": 0.1})
    (before,) = await rows(database)
    fired: list[JobId] = []
    async with clock(database, fired):
        await until(lambda: len(fired) >= 3, "it fires three times")
    (after,) = await rows(database)
    assert after == before


async def test_a_row_of_an_unknown_kind_does_not_stop_the_scheduler(database: Database) -> None:
    await lead(database)
    await put(database, Kind.EXPIRY, 1, run_at=in_seconds(3600))
    known = await put(database, Kind.MAIL, 1, run_at=in_seconds(3600))
    async with clock(database) as one:
        assert [job.id for job in one.scheduler.get_jobs()] == [str(known)]


async def test_a_timer_that_fires_too_early_fires_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks of two machines differ: the dispatcher looks at the row by the database's, and sets it anew."""
    times: list[float] = []
    original, early = claims.timers, list[float]()

    async def note(run: JobRun) -> None:
        times.append(asyncio.get_running_loop().time())

    async def ringing_early(
        connection: Connection, ids: Collection[JobId] | None = None, *, within_seconds: float | None = None
    ) -> list[Timer]:
        found = await original(connection, ids, within_seconds=within_seconds)
        by = early.pop() if found and early else 0.0
        return [replace(timer, seconds=timer.seconds - by) for timer in found]

    monkeypatch.setattr(claims, "timers", ringing_early)
    async with dispatching(database, {Kind.MAIL: note}):
        await put(database, Kind.MAIL, "first")
        await until(lambda: bool(times), "the dispatcher hears")
        times.clear()
        early.append(0.3)
        began = asyncio.get_running_loop().time()
        await put(database, Kind.MAIL, 1, run_at=in_seconds(0.5))
        await until(lambda: bool(times), "it runs")
    assert early == [] and times[0] - began > 0.45
