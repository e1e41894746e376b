"""Rows of `registry_credential`: who signs in at which registry for an account's builds, passwords sealed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.store.database import Connection, Record
from stackyn_server.store.queries import load

SQL = load("registries")


@dataclass(frozen=True, slots=True)
class SealedCredential:
    """`app` is None for one that serves all apps of the account."""

    id: int
    account: UserId
    app: AppId | None
    host: str
    username: str
    sealed: bytes
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, row: Record) -> SealedCredential:
        return cls(**dict(row))


async def of_account(connection: Connection, account: UserId) -> list[SealedCredential]:
    """Return the account's credentials and those of its apps, newest first."""
    return [SealedCredential.from_row(row) for row in await connection.fetch(SQL.of_account, account)]


async def credentials_for(connection: Connection, account: UserId, app: AppId) -> list[SealedCredential]:
    """Return what a build of the app signs in with, one for each host: the app's own wins over the account's."""
    return [
        SealedCredential.from_row(row) for row in await connection.fetch(SQL.credentials_for, account, app)
    ]


async def others(connection: Connection, account: UserId, app: AppId | None, host: str) -> int:
    """Return how many credentials the account has beside the one for this app and host."""
    return int(await connection.fetchval(SQL.others, account, app, host))


async def put(
    connection: Connection, account: UserId, app: AppId | None, *, host: str, username: str, sealed: bytes
) -> SealedCredential:
    """Set the credential for an app (None: for all) and host; one that is there keeps its id and creation time."""
    row = await connection.fetchrow(SQL.put, account, app, host, username, sealed)
    return SealedCredential.from_row(row)


async def delete(connection: Connection, account: UserId, credential: int) -> bool:
    return await connection.fetchval(SQL.delete, account, credential) is not None


async def delete_all(connection: Connection, account: UserId) -> None:
    await connection.execute(SQL.delete_all, account)
