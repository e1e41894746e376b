"""Rows of `one_time_code`: six digits, hashed, one purpose, of which only the newest of an address counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stackyn_server.domain.client_network import ClientNetwork
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
    network: ClientNetwork | None  # that asked for it
    is_used: bool
    has_expired: bool
    age_seconds: float


@dataclass(frozen=True, slots=True)
class CodeAttempts:
    """Wrong tries of the last day: of a network with one code, and of strange networks with all codes of its address.

    `codes` is how many there were. `was_signed_in`: the network has had a session of the account.
    """

    codes: int
    of_network: int
    of_strangers: int
    was_signed_in: bool


async def insert(
    connection: Connection,
    email: str,
    purpose: Purpose,
    code_hash: bytes,
    *,
    lifetime_seconds: float,
    network: ClientNetwork,
) -> int:
    values = (email, purpose.value, code_hash, lifetime_seconds, network)
    code: int = await connection.fetchval(SQL.insert, *values)
    return code


async def lock_address(connection: Connection, email: str, purpose: Purpose) -> None:
    """Lock the address for this purpose until the transaction ends."""
    await connection.execute(SQL.lock_address, email, purpose.value)


async def newest(connection: Connection, email: str, purpose: Purpose) -> OneTimeCode | None:
    """Return the code that counts, locked until the transaction ends."""
    row = await connection.fetchrow(SQL.newest, email, purpose.value)
    return OneTimeCode(**dict(row)) if row else None


async def attempts(
    connection: Connection, email: str, purpose: Purpose, code: int | None, network: ClientNetwork
) -> CodeAttempts:
    row = await connection.fetchrow(SQL.attempts, email, purpose.value, code, network)
    assert row is not None
    return CodeAttempts(**dict(row))


async def count_attempt(
    connection: Connection, code: int, network: ClientNetwork, *, is_strange: bool
) -> None:
    await connection.execute(SQL.count_attempt, code, network, is_strange)


async def use(connection: Connection, code: int) -> None:
    await connection.execute(SQL.use, code)


async def forget(connection: Connection, keep_seconds: float, limit: int) -> int:
    """Delete at most `limit` codes that ran out longer ago than `keep_seconds`; return how many."""
    return await delete_rows(connection, SQL.forget, keep_seconds, limit)
