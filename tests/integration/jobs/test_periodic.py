from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stackyn_server.domain.jobs import JobState, Kind, Pool
from stackyn_server.errors import StackynError
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.periodic import Periodic, PeriodicWork
from stackyn_server.jobs.run import Handler, JobRun
from stackyn_server.pause import Pause
from stackyn_server.store import jobs
from stackyn_server.store.database import Database
from stackyn_server.store.jobs import Job
from tests.integration.jobs.builders import QUICK, dispatching, lead, nothing, put, rows, served, until
from tests.patience import patient


def some_work(
    name: str, work: Handler, every: float = 3600, late_after: float = 60, limit: float = 60
) -> Periodic:
    return Periodic(name, every, late_after, limit, work)


def registry(database: Database, leadership: Leadership, *works: Periodic) -> PeriodicWork:
    return PeriodicWork(database, leadership, works, watch_seconds=0.05, pause=Pause.of(QUICK))


@asynccontextmanager
async def running(database: Database, *works: Periodic) -> AsyncIterator[PeriodicWork]:
    leadership = await lead(database)
    periodic = registry(database, leadership, *works)
    await periodic.upsert()
    async with dispatching(database, {Kind.HOUSEKEEPING: periodic}, leadership=leadership):
        yield periodic


async def the_row(database: Database, name: str) -> Job:
    (job,) = await rows(database, f"subject = '{name}' AND schedule IS NOT NULL")
    return job


async def test_periodic_work_runs_at_once_and_then_each_period(database: Database) -> None:
    times: list[float] = []

    async def note(run: JobRun) -> None:
        times.append(asyncio.get_running_loop().time())

    async with running(database, some_work("sample", note, every=0.1)):
        await until(lambda: len(times) >= 4, "four runs")
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps) > 0.09, f"never before its time: {gaps}"


async def test_run_at_moves_only_when_a_run_ends(database: Database) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def work(run: JobRun) -> None:
        began.set()
        await release.wait()

    leadership = await lead(database)
    periodic = registry(database, leadership, some_work("garbage", work))
    await periodic.upsert()
    upserted = await the_row(database, "garbage")
    async with dispatching(database, {Kind.HOUSEKEEPING: periodic}, leadership=leadership):
        await began.wait()
        during = await the_row(database, "garbage")
        assert (during.state, during.run_at) == (JobState.RUNNING, upserted.run_at)
        release.set()

        async def ended() -> bool:
            return (await the_row(database, "garbage")).last_success is not None

        await until(ended, "the run is recorded")
    after = await the_row(database, "garbage")
    assert after.run_at is not None and after.last_success is not None
    assert abs((after.run_at - after.last_success).total_seconds() - 3600) < 0.001
    assert after.state is JobState.WAITING


async def test_an_interrupted_run_is_due_on_the_next_server(database: Database) -> None:
    began = asyncio.Event()

    async def hang(run: JobRun) -> None:
        began.set()
        await asyncio.Event().wait()

    async with running(database, some_work("garbage", hang)):
        await began.wait()
    ran = asyncio.Event()

    async def note(run: JobRun) -> None:
        ran.set()

    async with running(database, some_work("garbage", note)):
        await asyncio.wait_for(ran.wait(), patient(5))


async def test_failing_periodic_work_is_never_given_up(database: Database) -> None:
    attempts: list[int] = []

    async def fail(run: JobRun) -> None:
        attempts.append(run.job.attempt)
        raise StackynError("The engine can't be reached.", retryable=True)

    async with running(database, some_work("garbage", fail, every=0.1)):
        await until(lambda: len(attempts) >= 5, "more runs than the policy has attempts")
    assert (await the_row(database, "garbage")).error == "The engine can't be reached."


async def test_a_bug_does_not_bury_periodic_work(database: Database) -> None:
    attempts: list[int] = []

    async def fail(run: JobRun) -> None:
        attempts.append(run.job.attempt)
        raise KeyError("bug")

    async with running(database, some_work("garbage", fail, every=0.05)):
        await until(lambda: len(attempts) >= 3, "it runs again")


async def test_hanging_periodic_work_is_ended_and_reported_late(
    database: Database,
) -> None:
    hanging = True

    async def work(run: JobRun) -> None:
        if hanging:
            await asyncio.Event().wait()

    leadership = await lead(database)
    periodic = registry(
        database, leadership, some_work("garbage", work, every=0.1, late_after=0.3, limit=0.2)
    )
    watch = asyncio.create_task(periodic.watch(), name="watch")
    async with dispatching(database, {Kind.HOUSEKEEPING: periodic}, leadership=leadership):
        await until(lambda: _said(database, "periodic.late"), "the lateness is an event")
        await until(lambda: _has_error(periodic), "its end at the limit is recorded")
        (report,) = await periodic.report()
        assert report.is_late and report.last_success is None
        assert report.error == "It took longer than 0 s and was ended."
        hanging = False
        await until(lambda: _said(database, "periodic.recovered"), "the recovery is an event")
        (report,) = await periodic.report()
        assert not report.is_late
    watch.cancel()
    await asyncio.wait((watch,))
    async with database.connection() as connection:
        data = await connection.fetchval("SELECT data FROM event WHERE name = 'periodic.late'")
    assert data["work"] == "garbage"


async def _has_error(periodic: Periodic) -> bool:
    (report,) = await periodic.report()
    return report.error is not None


async def _said(database: Database, name: str) -> bool:
    async with database.connection() as connection:
        return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM event WHERE name = $1)", name))


async def test_downtime_before_the_start_is_not_lateness(database: Database) -> None:
    leadership = await lead(database)
    periodic = registry(database, leadership, some_work("garbage", nothing, late_after=60))
    await periodic.upsert()
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE job SET last_success = now() - interval '1 day', queued_at = now() - interval '2 days'"
        )
    (report,) = await periodic.report()
    assert not report.is_late


async def test_upsert_shortens_periods_and_retires_old_names(
    database: Database,
) -> None:
    leadership = await lead(database)
    await registry(database, leadership, some_work("kept", nothing), some_work("old", nothing)).upsert()
    before = await the_row(database, "kept")
    async with database.transaction() as connection:
        await connection.execute("UPDATE job SET run_at = now() + interval '1 hour'")
    await registry(database, leadership, some_work("kept", nothing, every=60)).upsert()
    after = await the_row(database, "kept")
    assert (after.id, after.schedule) == (before.id, 60)
    assert after.run_at is not None and before.run_at is not None
    assert (after.run_at - before.run_at).total_seconds() < 70
    assert [job.subject for job in await rows(database, "state = 'waiting'")] == ["kept"]


async def test_purging_deletes_what_ended_long_ago(database: Database) -> None:
    await lead(database)
    old, new = await put(database, Kind.MAIL, 1), await put(database, Kind.MAIL, 2)
    await served(database, 2, Pool.MAIL)
    async with database.transaction() as connection:
        await connection.execute("UPDATE job SET ended_at = now() - interval '8 days' WHERE id = $1", old)
        assert await jobs.purge(connection, keep_days=7, limit=100) == 1
    assert [job.id for job in await rows(database)] == [new]
