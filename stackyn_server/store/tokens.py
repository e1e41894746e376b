"""Rows of `api_token`: personal tokens for programs, stored as hashes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stackyn_server.domain.ids import UserId
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection, Record
from stackyn_server.store.queries import load

SQL = load("tokens")


@dataclass(frozen=True, slots=True)
class ApiToken:
    id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None

    @classmethod
    def from_row(cls, row: Record) -> ApiToken:
        return cls(**{name: row[name] for name in cls.__slots__})


async def insert(
    connection: Connection, account: UserId, *, name: str, token_hash: bytes, expires_at: datetime | None
) -> ApiToken:
    row = await connection.fetchrow(SQL.insert, account, name, token_hash, expires_at)
    assert row is not None
    return ApiToken.from_row(row)


async def of_account(connection: Connection, account: UserId) -> list[ApiToken]:
    return [ApiToken.from_row(row) for row in await connection.fetch(SQL.of_account, account)]


async def delete(connection: Connection, account: UserId, token: int) -> bool:
    return await connection.fetchval(SQL.delete, account, token) is not None


async def delete_all(connection: Connection, account: UserId) -> None:
    await connection.execute(SQL.delete_all, account)


async def identify(connection: Connection, token_hash: bytes) -> tuple[Account, int] | None:
    """Return the living account of a current token, and the token's id."""
    row = await connection.fetchrow(SQL.identify, token_hash)
    return (Account.from_row(row), row["token"]) if row else None


async def touch(connection: Connection, token: int, *, precision_seconds: float) -> None:
    """Record the use of a token, at most once in `precision_seconds`."""
    await connection.execute(SQL.touch, token, precision_seconds)
