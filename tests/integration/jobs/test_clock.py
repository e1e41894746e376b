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
from tests.integration.jobs.builders import dispatching, lead, put, row, rows, until


@asynccontextmanager
async def a_clock(database: Database, fired: list[JobId] | None = None) -> AsyncIterator[Clock]:
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


def near(moment: datetime | None, expected: datetime | None) -> bool:
    assert moment is not None and expected is not None
    return abs((moment - expected).total_seconds()) < 0.5


async def test_all_eight_methods_with_a_restart_between_each(database: Database) -> None:
    await lead(database)
    first = await put(database, Kind.MAIL, 1, run_at=in_seconds(3600))
    second = await put(database, Kind.MAIL, 2, run_at=in_seconds(7200))
    stored = {str(job): (await row(database, job)).run_at for job in (first, second)}

    async with a_clock(database) as clock:  # lookup_job
        assert near(clock.scheduler.get_job(str(first)).next_run_time, stored[str(first)])
        assert clock.scheduler.get_job("999") is None
    async with a_clock(database) as clock:  # get_due_jobs
        assert clock.store.get_due_jobs(datetime.now(UTC)) == []
        assert [job.id for job in clock.store.get_due_jobs(in_seconds(3700))] == [str(first)]
    async with a_clock(database) as clock:  # get_next_run_time
        assert near(clock.store.get_next_run_time(), stored[str(first)])
    async with a_clock(database) as clock:  # get_all_jobs
        assert [job.id for job in clock.scheduler.get_jobs()] == [str(first), str(second)]
    async with a_clock(database) as clock:  # add_job: of a row, by its id, of a registered kind
        later = in_seconds(5400)
        third = await put(database, Kind.MAIL, 3, run_at=later)
        options = {"trigger": "date", "run_date": later, "id": str(third), "misfire_grace_time": None}
        clock.scheduler.add_job(fire, name="mail", **options)
        assert [job.id for job in clock.scheduler.get_jobs()] == [str(first), str(third), str(second)]
        with pytest.raises(UnregisteredKind):
            clock.scheduler.add_job(fire, name="unheard-of", **{**options, "id": "77"})
    async with a_clock(database) as clock:  # update_job: the index moves, the row does not
        assert str(third) in [job.id for job in clock.scheduler.get_jobs()], "what was added is still there"
        clock.scheduler.modify_job(str(third), next_run_time=in_seconds(10))
        assert clock.scheduler.get_jobs()[0].id == str(third)
        assert (await row(database, third)).run_at == later
    async with a_clock(database) as clock:  # remove_job: the timer goes, the row stays
        assert near(clock.scheduler.get_job(str(third)).next_run_time, later), "the row's time counts again"
        clock.scheduler.remove_job(str(third))
        with pytest.raises(JobLookupError):
            clock.scheduler.remove_job(str(third))
        assert (await row(database, third)).state == "waiting"
    async with a_clock(database) as clock:  # remove_all_jobs
        assert str(third) in [job.id for job in clock.scheduler.get_jobs()]
        clock.scheduler.remove_all_jobs()
        assert clock.scheduler.get_jobs() == []
    async with a_clock(database) as clock:
        assert len(clock.scheduler.get_jobs()) == 3
    assert len(await rows(database, "state = 'waiting'")) == 3


async def test_a_timer_fires_once_and_is_gone(database: Database) -> None:
    await lead(database)
    job = await put(database, Kind.MAIL, 1, run_at=in_seconds(1))
    fired: list[JobId] = []
    async with a_clock(database, fired) as clock:
        await until(lambda: fired == [job], "it fires")
        assert clock.scheduler.get_jobs() == []
        await asyncio.sleep(0)
    assert fired == [job]


async def test_a_periodic_timer_fires_again_and_moves_no_row(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        await claims.upsert_periodic(connection, 1, {"garbage": 0.1})
    (before,) = await rows(database)
    fired: list[JobId] = []
    async with a_clock(database, fired):
        await until(lambda: len(fired) >= 3, "it fires three times")
    (after,) = await rows(database)
    assert after == before


async def test_a_row_of_an_unknown_kind_does_not_stop_the_scheduler(database: Database) -> None:
    await lead(database)
    await put(database, Kind.EXPIRY, 1, run_at=in_seconds(3600))
    mail_job = await put(database, Kind.MAIL, 1, run_at=in_seconds(3600))
    async with a_clock(database) as clock:
        assert [job.id for job in clock.scheduler.get_jobs()] == [str(mail_job)]


async def test_a_timer_that_fires_too_early_fires_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks of two machines differ: the dispatcher looks at the row by the database's, and sets it anew."""
    times: list[float] = []
    original, early = claims.timers, list[float]()

    async def note(run: JobRun) -> None:
        times.append(asyncio.get_running_loop().time())

    async def firing_early(
        connection: Connection, ids: Collection[JobId] | None = None, *, within_seconds: float | None = None
    ) -> list[Timer]:
        timers = await original(connection, ids, within_seconds=within_seconds)
        by = early.pop() if timers and early else 0.0
        return [replace(timer, seconds=timer.seconds - by) for timer in timers]

    monkeypatch.setattr(claims, "timers", firing_early)
    async with dispatching(database, {Kind.MAIL: note}):
        await put(database, Kind.MAIL, "first")
        await until(lambda: bool(times), "the dispatcher hears")
        times.clear()
        early.append(0.3)
        began = asyncio.get_running_loop().time()
        await put(database, Kind.MAIL, 1, run_at=in_seconds(0.5))
        await until(lambda: bool(times), "it runs")
    assert early == [] and times[0] - began > 0.45


async def test_retries_move_forward_when_the_clock_jumped_back(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        await claims.upsert_periodic(connection, 1, {"garbage": 60})
        await connection.execute("UPDATE job SET run_at = now() + interval '61 minutes'")
    mail = await put(database, Kind.MAIL, 1, run_at=datetime.now(UTC) + timedelta(hours=5))
    before = await row(database, mail)
    async with database.transaction() as connection:
        assert await claims.shift(connection, 1, 3600) == 1
    (garbage,) = await rows(database, "schedule IS NOT NULL")
    assert garbage.run_at is not None
    assert garbage.run_at < datetime.now(UTC) + timedelta(minutes=2)
    assert (await row(database, mail)).run_at == before.run_at, "what was meant for a date stays there"
