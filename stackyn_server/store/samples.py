"""Rows of `sample`: what an app used, and when. After a while, one row for each step replaces the fine rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.domain.usage import UsagePoint
from stackyn_server.store.database import Connection, delete_rows
from stackyn_server.store.queries import load

SQL = load("samples")


@dataclass(frozen=True, slots=True)
class NewSample:
    """`cpu` in cores; it and the network's bytes are of the time since the sample before, None for a first one."""

    app: AppId
    instance: InstanceId
    cpu: float | None
    memory_bytes: int
    received_bytes: int | None
    sent_bytes: int | None
    disk_bytes: int


async def record(connection: Connection, taken: Sequence[NewSample]) -> None:
    """Store the samples of one pass in one statement."""
    await connection.execute(
        SQL.record,
        [sample.app for sample in taken],
        [sample.instance for sample in taken],
        [sample.cpu for sample in taken],
        [sample.memory_bytes for sample in taken],
        [sample.received_bytes for sample in taken],
        [sample.sent_bytes for sample in taken],
        [sample.disk_bytes for sample in taken],
    )


async def series(connection: Connection, app: AppId, *, seconds: int, step_seconds: int) -> list[UsagePoint]:
    """Return the steps of the last `seconds` that have samples, oldest first."""
    return [
        UsagePoint(**dict(row))
        for row in await connection.fetch(SQL.series, app, seconds, float(step_seconds))
    ]


async def condense(
    connection: Connection, *, older_than_seconds: float, step_seconds: float, limit: int
) -> int:
    """Replace older fine rows by one row for each step; return how many rows were replaced."""
    return int(await connection.fetchval(SQL.condense, older_than_seconds, step_seconds, limit))


async def purge(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete at most `limit` coarse rows older than `keep_days`; return how many."""
    return await delete_rows(connection, SQL.purge, keep_days, limit)
