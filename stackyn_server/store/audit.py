"""Rows of `audit`: what admins did, append-only, written in the transaction of the action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackyn_server.domain.ids import UserId
from stackyn_server.store.database import Connection
from stackyn_server.store.queries import load

SQL = load("audit")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`action` is `noun.verb`, `subject` the id of what it was done to. `actor` None is the platform itself."""

    id: int
    actor: UserId | None
    action: str
    subject: str
    data: Mapping[str, Any]
    created_at: datetime


async def append(
    connection: Connection,
    action: str,
    *,
    actor: UserId | None,
    subject: object,
    data: Mapping[str, Any] | None = None,
) -> None:
    await connection.execute(SQL.append, actor, action, str(subject), dict(data or {}))


async def newest(connection: Connection, limit: int) -> list[AuditEntry]:
    rows = await connection.fetch(SQL.newest, limit)
    return [AuditEntry(**{name: row[name] for name in AuditEntry.__slots__}) for row in rows]
