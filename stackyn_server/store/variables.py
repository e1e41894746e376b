"""Rows of `variable`: an app's environment, each value sealed and bound to tenant, app and name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stackyn_server.domain.apps import Amount
from stackyn_server.domain.ids import AppId
from stackyn_server.store.database import Connection
from stackyn_server.store.queries import load

SQL = load("variables")


@dataclass(frozen=True, slots=True)
class SealedVariable:
    id: int
    app: AppId
    key: str
    sealed: bytes
    created_at: datetime
    updated_at: datetime


async def list_of_app(connection: Connection, app: AppId) -> list[SealedVariable]:
    """Return the app's variables by key."""
    return [SealedVariable(**dict(row)) for row in await connection.fetch(SQL.list_of_app, app)]


async def amounts(connection: Connection, app: AppId, key: str) -> tuple[Amount, Amount]:
    """Return how much the app has, and how much of it is beside `key`; the bytes are those of sealed values."""
    row = await connection.fetchrow(SQL.amounts, app, key)
    return Amount(row["count"], row["bytes"]), Amount(row["other_count"], row["other_bytes"])


async def put(connection: Connection, app: AppId, key: str, sealed: bytes) -> SealedVariable:
    """Set a variable; the same key keeps its id and creation time."""
    return SealedVariable(**dict(await connection.fetchrow(SQL.put, app, key, sealed)))


async def delete(connection: Connection, app: AppId, key: str) -> None:
    await connection.execute(SQL.delete, app, key)
