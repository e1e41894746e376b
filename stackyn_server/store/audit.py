"""Rows of `audit`: what admins did, append-only, written in the transaction of the action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackyn_server.domain.ids import UserId
from stackyn_server.store.database import Connection
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
