"""The one row of `installation`: the identity of this database, and the epoch and heartbeat of its leader."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from stackyn_server.errors import StackynError
from stackyn_server.store.database import Connection
from stackyn_server.store.queries import load

SQL = load("installation")


class LeadershipLost(StackynError):
    """Another server has taken over this database: touch nothing more."""

    code = "LEADERSHIP_LOST"

    def __init__(self) -> None:
        super().__init__(
            "Another Stackyn server has taken over this installation.",
            hint="This server ends without touching anything; look at the other one.",
        )


@dataclass(frozen=True, slots=True)
class Installation:
    id: UUID
    secret: str
    epoch: int
    host: str
    heartbeat_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CurrentLeader:
    """Who leads by the database's clock. `heartbeat_age` is in seconds, None before the first heartbeat."""

    epoch: int
    host: str
    heartbeat_at: datetime | None
    is_fresh: bool
    heartbeat_age: float | None


def session_name(epoch: int) -> str:
    """The application_name of every database session of the server that leads with `epoch`."""
    return f"stackyn epoch {epoch}"


async def get(connection: Connection) -> Installation:
    row = await connection.fetchrow(SQL.get)
    assert row is not None, "the first migration makes the row"
    return Installation(**dict(row))


async def current_leader(
    connection: Connection, stale_seconds: float, *, for_update: bool = False
) -> CurrentLeader:
    """Read who leads. `for_update` waits for all fenced writes that are under way and holds off new ones."""
    query = SQL.current_leader + " FOR UPDATE" if for_update else SQL.current_leader
    row = await connection.fetchrow(query, stale_seconds)
    assert row is not None, "the first migration makes the row"
    return CurrentLeader(**dict(row))


async def next_epoch(connection: Connection, host: str) -> int:
    """Begin an epoch led by `host`. Call it in the transaction that read the leader `for_update`."""
    epoch: int = await connection.fetchval(SQL.next_epoch, host)
    return epoch


async def end_sessions(connection: Connection, until_epoch: int) -> int:
    """End the database sessions of servers that led with `until_epoch` or before; return how many."""
    ended: int = await connection.fetchval(SQL.end_sessions, until_epoch)
    return ended


async def heartbeat(connection: Connection, epoch: int) -> None:
    """Renew the lease of `epoch`. Raises `LeadershipLost` when the epoch is another."""
    if await connection.fetchval(SQL.heartbeat, epoch) is None:
        raise LeadershipLost


async def fence(connection: Connection, epoch: int) -> None:
    """Let no take-over happen before the transaction ends. Raises `LeadershipLost` when the epoch is another."""
    if await connection.fetchval(SQL.fence, epoch) is None:
        raise LeadershipLost


async def check_epoch(connection: Connection, epoch: int) -> None:
    """Raise `LeadershipLost` when the epoch is another. Unlike `fence`, this does not hold off a take-over."""
    if not await connection.fetchval(SQL.epoch_is, epoch):
        raise LeadershipLost


async def resign(connection: Connection, epoch: int) -> None:
    """Clear the heartbeat at an orderly stop, so that a server elsewhere needn't wait for it to become old."""
    await connection.execute(SQL.resign, epoch)
