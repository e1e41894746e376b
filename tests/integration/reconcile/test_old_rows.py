"""The garbage collector deletes rows that are older than they are kept, and no others, also without an engine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.domain.client_network import network_of
from stackyn_server.domain.subscriptions import Subscription, SubscriptionStatus
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineUnavailable
from stackyn_server.errors import StackynError
from stackyn_server.reconcile import old_rows
from stackyn_server.reconcile.garbage import GarbageCollector
from stackyn_server.store import audit, codes, events, sessions, subscriptions
from stackyn_server.store.codes import Purpose
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.failures import StatementRefused
from tests.rows import an_account, an_app

LONG_AGO = timedelta(days=8)
LATELY = timedelta(days=6)


async def collect(
    database: Database,
    settings: config.Settings,
    clones: Path,
    error: type[StackynError] = EngineUnavailable,
) -> None:
    """Collect without an engine, as far as that goes. `error` is the first one."""
    engine = Engine(settings.engine, settings.network, "old-rows-test")  # never opened
    builder = Builder(engine, settings, RegistryAvailability(settings))
    with pytest.raises(error):
        await GarbageCollector(settings, database, engine, builder, clones).collect(None)  # type: ignore[arg-type]


async def test_only_sessions_and_codes_that_ended_long_ago_are_deleted(
    database: Database, settings: config.Settings, tmp_path: Path
) -> None:
    async with database.transaction() as connection:
        account = await an_account(connection)
        opened = {
            name: await sessions.open_session(connection, account, lifetime_seconds=3600)
            for name in (
                "open",
                "signed out lately",
                "signed out long ago",
                "ran out lately",
                "ran out long ago",
            )
        }
        for name, column, ago in (
            ("signed out lately", "ended_at", LATELY),
            ("signed out long ago", "ended_at", LONG_AGO),
            ("ran out lately", "expires_at", LATELY),
            ("ran out long ago", "expires_at", LONG_AGO),
        ):
            await connection.execute(
                f"UPDATE session SET {column} = now() - $2::interval WHERE id = $1", opened[name], ago
            )
        for purpose, ago in ((Purpose.SIGN_IN, LONG_AGO), (Purpose.RESET, LATELY)):
            code = await codes.insert(
                connection,
                "a@example.test",
                purpose,
                b"",
                lifetime_seconds=60,
                network=network_of("192.0.2.1"),
            )
            await connection.execute(
                "UPDATE one_time_code SET expires_at = now() - $2::interval WHERE id = $1", code, ago
            )
    await collect(database, settings, tmp_path)
    async with database.connection() as connection:
        kept: set[Any] = {row["id"] for row in await connection.fetch("SELECT id FROM session")}
        purposes = [row["purpose"] for row in await connection.fetch("SELECT purpose FROM one_time_code")]
    assert {name for name, session in opened.items() if session in kept} == {
        "open", "signed out lately", "ran out lately",
    }  # fmt: skip
    assert purposes == ["reset"]


async def record_twice(connection: Connection) -> None:
    """Record two of each thing that happens."""
    app = await an_app(connection)
    for number in range(2):
        await audit.append(connection, "app.stop", actor=None, subject=number)
        await events.append(connection, "app.changed", app=app.id)
        await subscriptions.take_event(connection, bytes([number]), "subscription_updated", None)
        described = Subscription(str(number), "1", SubscriptionStatus.ACTIVE, True, None)
        now = await connection.fetchval("SELECT now()")
        await subscriptions.put(connection, described, account=None, email="a@example.test", as_of=now)


@pytest.mark.parametrize(
    ("table", "time", "key", "days"),
    [
        ("audit", "created_at", "subject = '0'", 365),
        ("event", "created_at", "id = (SELECT min(id) FROM event)", 90),
        ("billing_event", "received_at", r"digest = '\x00'", 365),
        ("subscription", "updated_at", "provider_id = '0'", 365),
    ],
)
async def test_what_happened_is_kept_for_its_days(
    database: Database, settings: config.Settings, tmp_path: Path, table: str, time: str, key: str, days: int
) -> None:
    for ago, kept in ((days - 1, 2), (days + 1, 1)):
        async with database.transaction() as connection:
            await connection.execute(f"TRUNCATE {table} CASCADE")
            await record_twice(connection)
            age = f"now() - interval '{ago} days'"
            changed = await connection.execute(f"UPDATE {table} SET {time} = {age} WHERE {key}")
        assert changed == "UPDATE 1"
        await collect(database, settings, tmp_path)
        async with database.connection() as connection:
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == kept


async def test_subscription_of_a_living_account_is_kept(
    database: Database, settings: config.Settings, tmp_path: Path
) -> None:
    async with database.transaction() as connection:
        account = await an_account(connection)
        await record_twice(connection)
        await connection.execute(
            "UPDATE subscription SET account = $1, updated_at = now() - interval '2 years'", account
        )
    await collect(database, settings, tmp_path)
    async with database.connection() as connection:
        assert len(await subscriptions.of_account(connection, account)) == 2


async def test_more_old_rows_than_a_batch_all_go_at_once(
    database: Database, settings: config.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_rows, "_ROWS_AT_ONCE", 3)
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO audit (action, subject, created_at) "
            "SELECT 'app.stop', n::text, now() - interval '2 years' FROM generate_series(1, 10) AS n"
        )
    await collect(database, settings, tmp_path)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit") == 0


async def test_table_that_fails_leaves_the_others_to_be_cleaned(
    database: Database, settings: config.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> int:
        raise StatementRefused("23514", "")

    monkeypatch.setattr(events, "purge", fail)
    async with database.transaction() as connection:
        await record_twice(connection)
        await connection.execute("UPDATE audit SET created_at = now() - interval '2 years'")
    await collect(database, settings, tmp_path, StatementRefused)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit") == 0
