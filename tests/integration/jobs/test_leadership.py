"""One leader: what a second server is told, and that a leader who lost writes and touches nothing more."""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from stackyn_server import config
from stackyn_server.domain.jobs import JobState, Kind, Pool
from stackyn_server.jobs import leadership
from stackyn_server.jobs.leadership import Leadership, LedElsewhere
from stackyn_server.store import claims, installation
from stackyn_server.store.database import Database
from stackyn_server.store.failures import DatabaseUnavailable
from stackyn_server.store.installation import LeadershipLost
from tests.integration.jobs.builders import QUICK, claim_one, lead, put, row, until, until_state
from tests.integration.jobs.process import server
from tests.integration.jobs.server import LOST_EXIT_CODE

# PostgreSQL ends a session that is idle in a transaction after 5 s; a take-over doesn't wait for that.
SOONER_THAN_TIMEOUTS = 4


async def test_another_host_leads_only_after_the_leader_has_died(
    database: Database,
) -> None:
    leader = await lead(database, "host-a 1")
    keeping = asyncio.create_task(leader.keep(), name="keep")
    first = await _heartbeat(database)
    longer_than_one_lasts = timedelta(seconds=QUICK.stale_seconds)

    async def lives_on() -> bool:
        return await _heartbeat(database) > first + longer_than_one_lasts

    await until(lives_on, "it has shown that it lives for longer than one heartbeat lasts")
    with pytest.raises(LedElsewhere, match="host host-a, heartbeat 0 s ago"):
        await lead(database, "host-b 2")
    keeping.cancel()
    await asyncio.wait((keeping,))
    await until(lambda: _is_stale(database), "its heartbeat has grown stale")
    assert (await lead(database, "host-b 2")).epoch == 2


async def test_the_same_host_takes_over_at_once(database: Database) -> None:
    assert (await lead(database, "host-a 1")).epoch == 1
    assert (await lead(database, "host-a 1")).epoch == 2


async def test_another_host_leads_at_once_after_a_resignation(database: Database) -> None:
    await (await lead(database, "host-a 1")).resign()
    assert (await lead(database, "host-b 2")).epoch == 2


async def test_a_heartbeat_from_the_future_is_no_sign_of_life(database: Database) -> None:
    await lead(database, "host-a 1")
    async with database.transaction() as connection:
        await connection.execute("UPDATE installation SET heartbeat_at = now() + interval '1 hour'")
    assert (await lead(database, "host-b 2")).epoch == 2


async def test_a_leader_learns_that_it_lost(database: Database) -> None:
    leader = await lead(database)
    keeping = asyncio.create_task(leader.keep(), name="keep")
    await lead(database)
    with pytest.raises(LeadershipLost):
        await keeping
    assert leader.lost.is_set()
    with pytest.raises(LeadershipLost):
        await leader.still_leading()
    with pytest.raises(LeadershipLost):
        async with database.transaction() as connection:
            await leader.check(connection)


async def test_still_leading_asks_the_database_after_the_lease(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = await lead(database)
    await lead(database)
    _let_pass(monkeypatch, QUICK.stale_seconds - QUICK.heartbeat_seconds)
    with pytest.raises(LeadershipLost):
        await leader.still_leading()
    assert leader.lost.is_set()


async def test_a_take_over_undoes_an_open_fenced_transaction(database: Database, database_url: str) -> None:
    leader = await lead(database)
    elsewhere = await Database.open(database_url, config.DatabaseSettings(), application_name="stackyn test")
    with pytest.raises(DatabaseUnavailable):
        async with database.transaction() as connection:
            await leader.check(connection)
            await connection.execute("INSERT INTO audit (action, subject) VALUES ('too', 'late')")
            taking = asyncio.create_task(asyncio.wait_for(lead(elsewhere), SOONER_THAN_TIMEOUTS), name="take")
            await asyncio.wait((taking,))
    assert taking.result().epoch == 2
    async with elsewhere.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit") == 0
    await elsewhere.close()


async def _somebody_waits(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database())"
            )
        )


async def test_a_take_over_ends_the_sessions_of_the_leader_before(
    database: Database, database_url: str
) -> None:
    leader = await lead(database)
    old = await asyncpg.connect(
        database_url, server_settings={"application_name": installation.session_name(leader.epoch)}
    )
    tool = await asyncpg.connect(database_url, server_settings={"application_name": "psql"})
    await old.execute("BEGIN; SELECT pg_advisory_xact_lock(1)")
    await lead(database)
    assert old.is_closed() or await _is_dead(old)
    assert await tool.fetchval("SELECT 1") == 1, "others are left alone"
    await tool.close()


async def _is_dead(connection: asyncpg.Connection) -> bool:
    try:
        await connection.fetchval("SELECT 1")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        return True
    return False


async def test_a_server_waits_for_a_database_that_is_away_at_its_start() -> None:
    nowhere = await Database.open(
        "postgresql://nobody@/nothing?host=/nonexistent",
        config.DatabaseSettings(),
        application_name="stackyn test",
    )
    with capture_logs() as log:
        taking = asyncio.create_task(Leadership.take(nowhere, QUICK, "here"), name="take")
        await until(lambda: len(log) > 2, "it has asked several times")
    assert {line["event"] for line in log} == {"leadership.waits"} and not taking.done()
    taking.cancel()
    await asyncio.wait((taking,))
    await nowhere.close()


async def test_the_engine_is_left_alone_when_leadership_is_unclear(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = await lead(database)
    await database.close()
    await leader.still_leading()  # nobody may take over before the heartbeat is stale
    _let_pass(monkeypatch, QUICK.stale_seconds - QUICK.heartbeat_seconds)
    with pytest.raises(DatabaseUnavailable):
        await leader.still_leading()


async def test_a_leader_frozen_in_a_claim_writes_nothing_afterwards(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    job = await put(database, Kind.MAIL, "letter")
    async with server(database_url, tmp_path / "a", "--freeze-in-claim") as first:
        await first.wait_for_line("frozen in a claim")
        await first.stopped()
        await until(lambda: _is_stale(database), "its heartbeat has grown stale")
        async with server(database_url, tmp_path / "b") as second:
            await second.wait_for_line("leads 2")
            await until(lambda: _has_no_session(database, epoch=1), "none may hold the lock of claims")
            done = await until_state(database, job, JobState.DONE)
            first.send(signal.SIGCONT)
            assert await first.code() == LOST_EXIT_CODE
            second_job = await put(database, Kind.MAIL, "another")
            await until_state(database, second_job, JobState.DONE)
    assert (done.epoch, done.attempt) == (2, 1), "the claim of the first never happened"
    assert not any(line.startswith("run") for line in first.lines)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit WHERE (data ->> 'epoch')::int = 1") == 0


async def test_a_leader_frozen_in_a_job_touches_nothing_afterwards(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    job = await put(database, Kind.BUILD, "works for long")
    touched = tmp_path / "a" / "touched"
    async with server(database_url, tmp_path / "a", "--freeze-in-job") as first:
        await first.wait_for_line("run works for long 1")
        await first.stopped()
        before = touched.read_text()
        assert before, "it had begun"
        await until(lambda: _is_stale(database), "its heartbeat has grown stale")
        async with server(database_url, tmp_path / "b") as second:
            await second.wait_for_line("run works for long 2")
            first.send(signal.SIGCONT)
            assert await first.code() == LOST_EXIT_CODE
            again = await row(database, job)
    assert touched.read_text() == before
    assert (again.state, again.epoch, again.attempt) == (JobState.RUNNING, 2, 2)


async def test_a_former_leader_cannot_finish_its_job(
    database: Database,
) -> None:
    """A write that is under way when the epoch changes waits for the take-over and then fails."""
    leader = await lead(database)
    await put(database, Kind.BUILD, 1)
    async with database.transaction() as connection:
        job = await claim_one(connection, leader.epoch, Pool.BUILDS, 1)
    assert job is not None

    async def finish() -> None:
        async with database.transaction() as connection:
            await claims.finish(connection, job, leader.epoch)

    async with database.transaction() as connection:
        await installation.current_leader(connection, QUICK.stale_seconds, for_update=True)
        finishing = asyncio.create_task(finish(), name="finish")
        await until(lambda: _somebody_waits(database), "the finish waits")
        await installation.next_epoch(connection, "there")
    with pytest.raises(LeadershipLost):
        await finishing
    assert (await row(database, job.id)).state is JobState.RUNNING


def _let_pass(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let this process see the time as it will be in so many seconds."""
    now = leadership.boot_seconds
    monkeypatch.setattr(leadership, "boot_seconds", lambda: now() + seconds)


async def _heartbeat(database: Database) -> datetime:
    async with database.connection() as connection:
        moment: datetime = await connection.fetchval("SELECT heartbeat_at FROM installation")
    return moment


async def _is_stale(database: Database) -> bool:
    async with database.connection() as connection:
        return not (await installation.current_leader(connection, QUICK.stale_seconds)).is_fresh


async def _has_no_session(database: Database, epoch: int) -> bool:
    async with database.connection() as connection:
        return not await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
            installation.session_name(epoch),
        )
