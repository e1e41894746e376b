"""A database that is restarted, frozen or gone under the dispatcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stackyn_server import config
from stackyn_server.domain.jobs import JobState, Kind
from stackyn_server.jobs.run import JobRun
from stackyn_server.postgres.embedded import EmbeddedPostgres
from stackyn_server.store import claims
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.migrator import migrate
from tests.frozen import frozen
from tests.integration.jobs.builders import dispatching, forever, lead, nothing, put, row, until, until_state
from tests.loop import longest_wait
from tests.patience import patient

NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
IMPATIENT = config.DatabaseSettings(statement_seconds=1, connect_seconds=1)
FREEZE_SECONDS = 4.0


@pytest.fixture
async def postgres(cluster_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A cluster of this test's own, to be mistreated."""
    postgres = EmbeddedPostgres(cluster_dir, config.DatabaseSettings(), extra=NOT_DURABLE)
    yield postgres
    await postgres.stop()


@pytest.fixture
async def own_database(postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    database = await Database.open(await postgres.start(), IMPATIENT, application_name="stackyn test")
    async with database.connection() as connection:
        await migrate(connection)
    yield database
    await database.close()


async def test_the_dispatcher_recovers_when_postgresql_was_restarted(
    postgres: EmbeddedPostgres, own_database: Database
) -> None:
    release = asyncio.Event()

    async def build(run: JobRun) -> None:
        await release.wait()

    async with dispatching(own_database, {Kind.MAIL: nothing, Kind.BUILD: build}) as dispatcher:
        running = await put(own_database, Kind.BUILD, 1)
        later = await put(own_database, Kind.MAIL, "later", run_at=datetime.now(UTC) + timedelta(seconds=1))
        await until_state(own_database, running, JobState.RUNNING)
        await postgres.stop()
        dispatcher.wake()
        await until(lambda: dispatcher.status().pause_reason is not None, "claims pause")
        with capture_logs() as log:
            release.set()
            await until(lambda: "job.end_waits" in {line["event"] for line in log}, "its result waits")
        assert len(dispatcher.status().running) == 1, "it is kept in hand until it can be recorded"
        await postgres.start()
        done = await until_state(own_database, running, JobState.DONE)
        assert done.attempt == 1, "it went on, and was not done again"
        await until_state(own_database, later, JobState.DONE)
        again = await put(own_database, Kind.MAIL, "after")
        await until_state(own_database, again, JobState.DONE)
        await until(lambda: dispatcher.status().pause_reason is None, "the look that claimed it has ended")


async def test_a_cancellation_missed_while_offline_is_seen_later(
    postgres: EmbeddedPostgres, own_database: Database
) -> None:
    async with dispatching(own_database, {Kind.BUILD: forever}):
        job = await put(own_database, Kind.BUILD, 1)
        await until_state(own_database, job, JobState.RUNNING)
        async with own_database.transaction() as connection:
            await connection.execute("ALTER TABLE job DISABLE TRIGGER job_announced")
            await connection.execute("UPDATE job SET cancel_requested = true")
            await connection.execute("ALTER TABLE job ENABLE TRIGGER job_announced")
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                " AND pid <> pg_backend_pid()"
            )
        await until_state(own_database, job, JobState.DONE)


async def test_a_frozen_database_stalls_nobody_but_who_asks_it(
    postgres: EmbeddedPostgres, own_database: Database
) -> None:
    """With APScheduler's own store the stall was all of the freeze. `tests/bench/jobs` asserts the milliseconds."""
    assert await stall_beside_a_frozen(postgres, own_database) < FREEZE_SECONDS / 2


async def stall_beside_a_frozen(postgres: EmbeddedPostgres, own_database: Database) -> float:
    """Freeze the database under a dispatcher, and return the longest wait of the event loop meanwhile."""
    leader = await lead(own_database)
    keeping = asyncio.create_task(leader.keep(), name="keep")
    async with dispatching(own_database, {Kind.MAIL: nothing}, leadership=leader) as dispatcher:
        await until_state(own_database, await put(own_database, Kind.MAIL, 1), JobState.DONE)
        due = datetime.now(UTC) + timedelta(seconds=1)
        timed_job = await put(own_database, Kind.MAIL, 2, run_at=due)
        thawed_at = time.monotonic() + FREEZE_SECONDS
        async with frozen(postgres), longest_wait() as waited:
            while time.monotonic() < thawed_at:
                dispatcher.wake()
                await asyncio.sleep(0.005)
        done = await until_state(own_database, timed_job, JobState.DONE)
        assert done.attempt <= 2, "the first claim may have been committed without an answer"
        assert not leader.lost.is_set()
    keeping.cancel()
    await asyncio.wait((keeping,))
    return waited.seconds


async def test_a_database_outage_costs_waiting_jobs_no_attempt(
    postgres: EmbeddedPostgres, own_database: Database
) -> None:
    due = datetime.now(UTC) + timedelta(seconds=1.5)
    job = await put(own_database, Kind.MAIL, "soon", run_at=due)
    async with dispatching(own_database, {Kind.MAIL: nothing}) as dispatcher:
        await until(lambda: _is_armed(own_database), "the dispatcher has looked")
        await postgres.stop()
        await until(
            lambda: datetime.now(UTC) > due and dispatcher.status().pause_reason is not None,
            "it becomes due meanwhile, and claims pause",
        )
        back_at = datetime.now(UTC)
        await postgres.start()
        done = await until_state(own_database, job, JobState.DONE)
    assert done.claimed_at is not None and done.claimed_at > back_at
    assert (done.attempt, done.error) == (1, None)


async def _is_armed(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN%')"
            )
        )


async def test_a_retry_is_on_time_after_the_clock_jumped_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jump is told by what the sweep is told: a clock that can be set back belongs to the whole machine."""
    jump = timedelta(hours=1)
    real_now = claims.database_now
    has_jumped, swept = False, asyncio.Event()

    async def now(connection: Connection) -> datetime:
        swept.set()
        return await real_now(connection) - (jump if has_jumped else timedelta())

    monkeypatch.setattr(claims, "database_now", now)
    async with dispatching(database, {Kind.MAIL: nothing}) as dispatcher:
        await asyncio.wait_for(swept.wait(), patient(10))
        retry = await put(database, Kind.MAIL, "retry", run_at=datetime.now(UTC) + jump)
        chosen = await put(database, Kind.MAIL, "chosen", run_at=datetime.now(UTC) + jump)
        async with database.transaction() as connection:
            await connection.execute("UPDATE job SET attempt = 1 WHERE id = $1", retry)
        has_jumped = True
        dispatcher.sweep_soon()
        await until_state(database, retry, JobState.DONE)
        assert (await row(database, chosen)).state is JobState.WAITING, "a time that somebody chose stays"
