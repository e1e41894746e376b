"""Rows of `api_token`: personal tokens for programs, stored as hashes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.domain.scopes import Scope
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection, Record, delete_rows
from stackyn_server.store.queries import load

SQL = load("tokens")


@dataclass(frozen=True, slots=True)
class ApiToken:
    """`app` is the one app that it sees; None: all of its account's."""

    id: int
    name: str
    scopes: tuple[Scope, ...]
    app: AppId | None
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None

    @classmethod
    def from_row(cls, row: Record) -> ApiToken:
        values = {name: row[name] for name in cls.__slots__}
        return cls(**{**values, "scopes": tuple(map(Scope, row["scopes"]))})


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """The living account of a current token, and what the token may do."""

    account: Account
    token: int
    scopes: frozenset[Scope]
    app: AppId | None


async def insert(
    connection: Connection,
    account: UserId,
    *,
    name: str,
    token_hash: bytes,
    expires_at: datetime | None,
    scopes: Iterable[Scope],
    app: AppId | None,
) -> ApiToken:
    values = (account, name, token_hash, expires_at, [scope.value for scope in scopes], app)
    row = await connection.fetchrow(SQL.insert, *values)
    assert row is not None
    return ApiToken.from_row(row)


async def count(connection: Connection, account: UserId) -> int:
    return int(await connection.fetchval(SQL.count, account))


async def of_account(connection: Connection, account: UserId) -> list[ApiToken]:
    return [ApiToken.from_row(row) for row in await connection.fetch(SQL.of_account, account)]


async def delete(connection: Connection, account: UserId, token: int) -> bool:
    return await connection.fetchval(SQL.delete, account, token) is not None


async def delete_all(connection: Connection, account: UserId) -> None:
    await connection.execute(SQL.delete_all, account)


async def identify(connection: Connection, token_hash: bytes) -> TokenHolder | None:
    row = await connection.fetchrow(SQL.identify, token_hash)
    if row is None:
        return None
    return TokenHolder(Account.from_row(row), row["token"], frozenset(map(Scope, row["scopes"])), row["app"])


async def touch(connection: Connection, token: int, *, precision_seconds: float) -> None:
    """Record the use of a token, at most once in `precision_seconds`."""
    await connection.execute(SQL.touch, token, precision_seconds)


async def forget(connection: Connection, keep_seconds: float, limit: int) -> int:
    """Delete at most `limit` tokens that ran out longer ago than `keep_seconds`; return how many."""
    return await delete_rows(connection, SQL.forget, keep_seconds, limit)
