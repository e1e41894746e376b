"""Rows of `event`: what happened, in the transaction in which it did. Append-only, ids grow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackyn_server.domain.crashes import CRASHED, REPAIR_FAILED, RESTARTED
from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId, UserId
from stackyn_server.store.database import Connection, delete_rows
from stackyn_server.store.queries import load

SQL = load("events")


@dataclass(frozen=True, slots=True)
class EventRow:
    id: int
    name: str
    tenant: UserId | None
    app: AppId | None
    deployment: DeploymentId | None
    data: dict[str, Any]
    created_at: datetime


async def append(
    connection: Connection,
    name: str,
    *,
    tenant: UserId | None = None,
    app: AppId | None = None,
    deployment: DeploymentId | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Record `name` (noun.verb)."""
    await connection.execute(SQL.append, name, tenant, app, deployment, data or {})


async def count_crashes(connection: Connection, app: AppId, instance: InstanceId, seconds: float) -> int:
    """Return how many crashes of the instance count towards the limit within the last `seconds`."""
    names = [CRASHED, RESTARTED, REPAIR_FAILED]
    return int(await connection.fetchval(SQL.count_crashes, app, str(instance), seconds, names))


async def purge(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete at most `limit` of the events older than `keep_days`; return how many."""
    return await delete_rows(connection, SQL.purge, keep_days, limit)


async def list_of_app(
    connection: Connection, app: AppId, *, before: int | None = None, limit: int = 100
) -> list[EventRow]:
    return [EventRow(**dict(row)) for row in await connection.fetch(SQL.list_of_app, app, before, limit)]
