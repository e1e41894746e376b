"""Rows of `session`: a bearer token names one. When the row ends, the token does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.domain.ids import UserId
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection, Record, delete_rows
from stackyn_server.store.queries import load

SQL = load("sessions")


@dataclass(frozen=True, slots=True)
class AccountSession:
    """The session that a token names, and its account, which is not deleted."""

    account: Account
    session: UUID


async def open_session(
    connection: Connection,
    account: UserId,
    *,
    lifetime_seconds: float,
    token_hash: bytes | None = None,
    network: ClientNetwork | None = None,
    proved_at: datetime | None = None,
) -> UUID:
    """Insert a session; `token_hash` names the foreign token that it belongs to. `proved_at` is when its owner proved
    to be at the address, which a password does not; `network` where it was opened from.

    Raises `Duplicate` with constraint `session_token`.
    """
    session: UUID = await connection.fetchval(
        SQL.open, account, lifetime_seconds, token_hash, network, proved_at
    )
    return session


async def identify(connection: Connection, session: UUID, account: UserId) -> AccountSession | None:
    """Return the living account of a living session, in one query."""
    return _identified(await connection.fetchrow(SQL.identify, session, account))


async def identify_foreign(connection: Connection, token_hash: bytes) -> tuple[AccountSession | None, bool]:
    """Return the living account of the session that this token opened, and whether it ever opened one.

    One query: between two queries another request with the same new token could open its session.
    """
    row = await connection.fetchrow(SQL.identify_foreign, token_hash)
    return (_identified(row) if row and row["is_open"] else None), row is not None


async def is_fresh(connection: Connection, session: UUID, within_seconds: float) -> bool:
    """Say whether the owner of a living session proved the address in the last `within_seconds`."""
    return bool(await connection.fetchval(SQL.is_fresh, session, within_seconds))


async def end(connection: Connection, session: UUID) -> None:
    await connection.execute(SQL.end, session)


async def end_all(connection: Connection, account: UserId, *, apart_from: UUID | None = None) -> None:
    await connection.execute(SQL.end_all, account, apart_from)


async def forget(connection: Connection, keep_seconds: float, limit: int) -> int:
    """Delete at most `limit` sessions that ended longer ago than `keep_seconds`; return how many."""
    return await delete_rows(connection, SQL.forget, keep_seconds, limit)


def _identified(row: Record | None) -> AccountSession | None:
    return AccountSession(Account.from_row(row), row["session"]) if row else None
