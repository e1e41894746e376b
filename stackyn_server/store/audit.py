"""Rows of `audit`: what admins did, append-only, written in the transaction of the action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackyn_server.domain.ids import UserId
from stackyn_server.store.database import Connection, delete_rows
from stackyn_server.store.queries import load

SQL = load("audit")


async def append(
    connection: Connection,
    action: str,
    *,
    actor: UserId | None,
    subject: object,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Record `action` (noun.verb), done by `actor` (None: the platform itself) to the row with the id `subject`."""
    await connection.execute(SQL.append, actor, action, str(subject), dict(data or {}))


async def purge(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete at most `limit` of the rows older than `keep_days`; return how many."""
    return await delete_rows(connection, SQL.purge, keep_days, limit)
