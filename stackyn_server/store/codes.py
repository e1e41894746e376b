"""Rows of `one_time_code`: six digits, hashed, one purpose, of which only the newest of an address counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stackyn_server.store.database import Connection, delete_rows
from stackyn_server.store.queries import load

SQL = load("codes")


class Purpose(StrEnum):
    SIGN_IN = "sign_in"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    id: int
    code_hash: bytes = field(repr=False)
    attempts: int
    is_used: bool
    has_expired: bool
    age_seconds: float


async def insert(
    connection: Connection, email: str, purpose: Purpose, code_hash: bytes, *, lifetime_seconds: float
) -> int:
    code: int = await connection.fetchval(SQL.insert, email, purpose.value, code_hash, lifetime_seconds)
    return code


async def lock_address(connection: Connection, email: str, purpose: Purpose) -> None:
    """Lock the address for this purpose until the transaction ends."""
    await connection.execute(SQL.lock_address, email, purpose.value)


async def newest(connection: Connection, email: str, purpose: Purpose) -> OneTimeCode | None:
    """Return the code that counts, locked until the transaction ends."""
    row = await connection.fetchrow(SQL.newest, email, purpose.value)
    return OneTimeCode(**dict(row)) if row else None


async def count_attempt(connection: Connection, code: int) -> None:
    await connection.execute(SQL.count_attempt, code)


async def use(connection: Connection, code: int) -> None:
    await connection.execute(SQL.use, code)


async def forget(connection: Connection, keep_seconds: float, limit: int) -> int:
    """Delete at most `limit` codes that ran out longer ago than `keep_seconds`; return how many."""
    return await delete_rows(connection, SQL.forget, keep_seconds, limit)
