"""The pool's promises, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from stackyn_server import config
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.notices import Notice, RouteChanged, Unclear
from stackyn_server.store import database as store
from stackyn_server.store.bulletin import Lagged
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.failures import (
    CommitUnknown,
    Contention,
    DatabaseRefused,
    DatabaseUnavailable,
    Duplicate,
    StatementRefused,
)
from tests.patience import within

SECRET = "marmalade"


async def test_a_transaction_commits_and_an_error_rolls_it_back(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("CREATE TABLE thing (name text CONSTRAINT thing_name UNIQUE)")
    with pytest.raises(LookupError):
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO thing VALUES ('kept?')")
            raise LookupError
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM thing") == 0


async def test_a_doubled_row_names_its_index_and_nothing_else(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE thing (name text CONSTRAINT thing_name UNIQUE)")
    with pytest.raises(Duplicate) as raised:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO thing VALUES ($1), ($1)", SECRET)
    assert raised.value.constraint == "thing_name"
    assert SECRET not in raised.value.message and "INSERT" not in raised.value.message


async def test_a_faulty_statement_leaks_no_sql(database: Database) -> None:
    with pytest.raises(StatementRefused) as raised:
        async with database.connection() as connection:
            await connection.fetch(f"SELECT {SECRET} FROM installation")
    assert SECRET not in str(raised.value)
    assert raised.value.sqlstate == "42703"


async def test_a_slow_statement_is_ended_by_the_database(database_url: str) -> None:
    database = await Database.open(
        database_url, config.DatabaseSettings(statement_seconds=0.1), application_name="slow"
    )
    with pytest.raises(DatabaseUnavailable):
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_sleep(5)")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()


async def test_a_deadlock_fails_only_one_transaction(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE thing (id int)")
        await connection.execute("INSERT INTO thing VALUES (1), (2)")
    both_hold_one = asyncio.Barrier(2)

    async def change(first: int, second: int) -> None:
        async with database.transaction() as connection:
            await connection.execute("UPDATE thing SET id = id WHERE id = $1", first)
            await both_hold_one.wait()
            await connection.execute("UPDATE thing SET id = id WHERE id = $1", second)

    results = await asyncio.gather(change(1, 2), change(2, 1), return_exceptions=True)
    assert sorted(type(result) for result in results if result is not None) == [Contention]
    assert [result.retryable for result in results if isinstance(result, Contention)] == [True]


async def test_a_full_pool_answers_unavailable_after_the_time_limit(database_url: str) -> None:
    impatient = config.DatabaseSettings(pool_size=1, connect_seconds=1)
    database = await Database.open(database_url, impatient, application_name="full")
    async with database.connection():
        with pytest.raises(DatabaseUnavailable):
            async with database.connection():
                pass
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()


async def test_a_lost_session_is_unavailable_and_the_pool_recovers(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with database.transaction() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await _end_session(database, pid)
            await connection.execute("SELECT 1")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_frozen_session_is_unavailable_and_the_pool_goes_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ANSWER_MARGIN_SECONDS", 0.1)
    monkeypatch.setattr(store, "GIVE_BACK_SECONDS", 0.1)
    impatient = config.DatabaseSettings(pool_size=1, statement_seconds=0.2)
    database = await Database.open(database_url, impatient, application_name="frozen")
    async with database.connection() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    os.kill(pid, signal.SIGSTOP)
    try:
        async with within(3):
            with pytest.raises(DatabaseUnavailable):
                async with database.transaction() as connection:
                    await connection.execute("SELECT 1")
            async with database.connection() as connection:
                assert await connection.fetchval("SELECT pg_backend_pid()") != pid
    finally:
        os.kill(pid, signal.SIGCONT)
        await database.close()


async def test_the_pool_opens_while_the_database_is_away(tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere = tmp_path_factory.mktemp("none")
    database = await Database.open(
        f"postgresql://somebody@/x?host={nowhere}", config.DatabaseSettings(), application_name="early"
    )
    with pytest.raises(DatabaseUnavailable):
        async with database.connection():
            pass
    await database.close()


async def test_a_refused_sign_in_names_the_setting(database_url: str) -> None:
    database = await Database.open(
        database_url.replace("stackyn@", "nobody@"), config.DatabaseSettings(), application_name="x"
    )
    with pytest.raises(DatabaseRefused) as raised:
        async with database.connection():
            pass
    assert "[database] url" in raised.value.hint
    await database.close()


async def test_a_caught_error_in_a_transaction_is_no_commit(database: Database) -> None:
    with pytest.raises(StatementRefused):
        async with database.transaction() as connection:
            await connection.execute("UPDATE installation SET host = 'changed'")
            with contextlib.suppress(asyncpg.DivisionByZeroError):
                await connection.execute("SELECT 1 / 0")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT host FROM installation") == ""


async def test_a_cancelled_transaction_rolls_back(database: Database) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as connection:
            await connection.execute("UPDATE installation SET host = 'changed'")
            inside.set()
            await connection.execute("SELECT pg_sleep(30)")

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT host FROM installation") == ""


async def test_values_come_back_as_python_objects(database: Database) -> None:
    async with database.connection() as connection:
        value = {"list": [1, None, "ü"]}
        assert await connection.fetchval("SELECT $1::jsonb", value) == value
        now = await connection.fetchval("SELECT now()")
    assert now.tzinfo is UTC and abs(datetime.now(UTC) - now) < timedelta(minutes=1)


async def test_every_session_has_limits_and_a_name(database: Database) -> None:
    dedicated = await database.dedicated()
    async with database.connection() as pooled:
        for connection in (pooled, dedicated):
            assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "5s"
            assert await connection.fetchval("SHOW statement_timeout") == "10s"
            assert await connection.fetchval("SHOW application_name") == "stackyn test"
    await dedicated.close()


async def test_sessions_take_a_new_application_name(database: Database) -> None:
    async with database.connection() as connection:
        await connection.fetchval("SELECT 1")
    await database.set_application_name("stackyn epoch 7")
    async with database.connection() as connection:
        assert await connection.fetchval("SHOW application_name") == "stackyn epoch 7"


async def _end_session(database: Database, pid: int) -> None:
    session: Connection
    async with database.connection() as session:
        await session.fetchval("SELECT pg_terminate_backend($1, 2000)", pid)


HOSTILE = "F\x00R\x00O\x00M\x00 \ud800 \udcff"
KEPT = "F\ufffdR\ufffdO\ufffdM\ufffd \ufffd \ufffd"


async def test_no_text_is_refused_whichever_way_it_goes_in(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("CREATE TABLE stored (id serial, text text, list text[], value jsonb)")
        insert = "INSERT INTO stored (text, list, value) VALUES ($1, $2, $3) RETURNING text"
        row = (HOSTILE, [HOSTILE, "plain"], {HOSTILE: [HOSTILE, float("nan")]})
        await connection.execute(insert, *row)
        assert await connection.fetchval(insert, *row) == KEPT
        assert (await connection.fetchrow(insert, *row))["text"] == KEPT
        assert [record["text"] for record in await connection.fetch(insert, *row)] == [KEPT]
        rows = await connection.fetch("SELECT * FROM stored WHERE text = $1", HOSTILE)
    assert len(rows) == 4
    assert {(row["text"], tuple(row["list"]), str(row["value"])) for row in rows} == {
        (KEPT, (KEPT, "plain"), str({KEPT: [KEPT, None]}))
    }


async def test_a_text_without_an_end_is_kept_in_part(database: Database) -> None:
    endless = "x" * 3_000_000
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE stored (value jsonb)")
        await connection.execute("INSERT INTO stored VALUES ($1)", {"evidence": endless})
        assert await connection.fetchval("SELECT length(value ->> 'evidence') FROM stored") < 2_000_000


async def _heard(
    database: Database, *, raises: type[Exception] | None = None
) -> list[Notice | Lagged | None]:
    """What readers hear during a transaction that announces something, and right after it."""
    heard: list[Notice | Lagged | None] = []
    with database.bulletin.subscribe(lambda _: True) as news:
        with contextlib.suppress(LookupError, CommitUnknown):
            async with database.transaction() as connection:
                connection.announce(RouteChanged(AppId(1)))
                heard.append(await news.next(0))
                if raises:
                    raise raises
        heard.append(await news.next(0))
    return heard


async def test_a_notice_is_posted_after_the_commit(database: Database) -> None:
    assert await _heard(database) == [None, RouteChanged(AppId(1))]


async def test_what_was_rolled_back_is_posted_to_nobody(database: Database) -> None:
    assert await _heard(database, raises=LookupError) == [None, None]
    assert await _heard(database) == [None, RouteChanged(AppId(1))]


async def test_after_an_unanswered_commit_readers_are_sent_to_the_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unanswered(_: object) -> None:
        raise CommitUnknown

    monkeypatch.setattr(store, "_commit", unanswered)
    assert await _heard(database) == [None, Unclear(AppId(1), None)]
