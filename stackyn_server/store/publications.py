"""Rows of `publication`: the numbers of the route files that were written."""

from __future__ import annotations

from stackyn_server.store.database import Connection
from stackyn_server.store.installation import LeadershipLost
from stackyn_server.store.queries import load

SQL = load("publications")

KEPT = 1000


async def next_number(connection: Connection, epoch: int) -> int:
    """Take the next number of `epoch`, beginning with 1, and forget all but the last `KEPT`.

    Raises `LeadershipLost` when another server leads.
    """
    number: int | None = await connection.fetchval(SQL.next_number, epoch)
    if number is None:
        raise LeadershipLost
    await connection.execute(SQL.forget, epoch, number - KEPT)
    return number
