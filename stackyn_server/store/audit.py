"""Rows of `audit`: what admins did and how credentials changed, append-only, in the transaction of the deed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackyn_server.domain.ids import UserId
from stackyn_server.store.database import Connection, Record, delete_rows
from stackyn_server.store.queries import load

SQL = load("audit")


@dataclass(frozen=True, slots=True)
class AuditRow:
    """`actor` None: the platform itself, or its operator on the command line. `outcome` is done or refused."""

    id: int
    actor: UserId | None
    actor_email: str | None
    action: str
    subject: str
    outcome: str
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def from_row(cls, row: Record) -> AuditRow:
        return cls(**{name: row[name] for name in cls.__slots__})


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


async def append_refusal(
    connection: Connection, action: str, *, actor: UserId, subject: object, data: Mapping[str, Any]
) -> None:
    """Record that `action` was refused; the same refusal again within an hour is not recorded."""
    await connection.execute(SQL.append_refusal, actor, action, str(subject), dict(data))


async def page(
    connection: Connection, *, user: UserId | None, action: str | None, limit: int, offset: int
) -> list[AuditRow]:
    """Return rows, newest first: those of deeds by `user` or to it, and of `action`, where they are given."""
    rows = await connection.fetch(SQL.page, user, action, limit, offset)
    return [AuditRow.from_row(row) for row in rows]


async def count(connection: Connection, *, user: UserId | None, action: str | None) -> int:
    return int(await connection.fetchval(SQL.count, user, action))


async def purge(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete at most `limit` of the rows older than `keep_days`; return how many."""
    return await delete_rows(connection, SQL.purge, keep_days, limit)
