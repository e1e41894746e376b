"""Rows of `disk_use` and `log_size`: what accounts occupy of the disk, as it was last measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stackyn_server.domain.disk_use import DiskUse
from stackyn_server.domain.ids import UserId
from stackyn_server.store.database import Connection, fetch_one
from stackyn_server.store.logs import LogSize
from stackyn_server.store.queries import load

SQL = load("disk_use")


async def measure(connection: Connection, caches: Mapping[UserId, int]) -> dict[UserId, DiskUse]:
    """Add up what each account occupies, and return it. `caches`: the bytes of the account's build caches."""
    await connection.execute(SQL.forget)
    rows = await connection.fetch(SQL.measure, list(caches), list(caches.values()))
    return {row["account"]: DiskUse(**{name: row[name] for name in DiskUse.__slots__}) for row in rows}


async def of_account(connection: Connection, account: UserId) -> DiskUse:
    """Return what was last measured; nothing for an account that is new."""
    return await fetch_one(connection, lambda row: DiskUse(**row), SQL.of_account, account) or DiskUse()


async def remember_logs(connection: Connection, sizes: Sequence[LogSize]) -> None:
    await connection.execute(
        SQL.remember_logs,
        [size.app for size in sizes],
        [size.kind for size in sizes],
        [size.bytes for size in sizes],
    )
