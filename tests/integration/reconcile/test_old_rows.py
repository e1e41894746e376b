"""The garbage collector deletes sessions and codes that ended long ago, and no others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from stackyn_server import config
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.client import Engine
from stackyn_server.reconcile.garbage import GarbageCollector
from stackyn_server.store import codes, sessions
from stackyn_server.store.codes import Purpose
from stackyn_server.store.database import Database
from tests.rows import an_account

LONG_AGO = timedelta(days=8)
LATELY = timedelta(days=6)


async def collect(database: Database, settings: config.Settings, clones: Path) -> None:
    async with Engine(settings.engine, settings.network, "old-rows-test") as engine:
        builder = Builder(engine, settings, RegistryAvailability(settings))
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
            code = await codes.insert(connection, "a@example.test", purpose, b"hash", lifetime_seconds=60)
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
