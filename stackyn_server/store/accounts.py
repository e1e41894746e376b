"""Rows of `account`: people who sign in. Addresses are compared without regard to case."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from stackyn_server.domain.billing_plans import Reservation
from stackyn_server.domain.disk_use import DiskUse
from stackyn_server.domain.ids import UserId
from stackyn_server.domain.subscriptions import BillingState
from stackyn_server.store.database import Connection, Record, fetch_one
from stackyn_server.store.queries import load

SQL = load("accounts")


@dataclass(frozen=True, slots=True)
class Account:
    """`plan` names a billing plan of the configuration; `password_hash` None means that no password is set.

    `granted_plan`, `paid_by` and `paid_until` are those of `domain.subscriptions.BillingState`.
    """

    id: UserId
    email: str
    email_verified: bool
    password_hash: str | None = field(repr=False)
    full_name: str | None
    company_name: str | None
    is_admin: bool
    plan: str
    billing_status: str
    trial_started_at: datetime | None
    trial_ends_at: datetime | None
    granted_plan: str | None
    paid_by: str | None
    paid_until: datetime | None
    firebase_uid: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, row: Record) -> Account:
        return cls(**{name: row[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class NewAccount:
    email: str
    plan: str
    email_verified: bool = False
    password_hash: str | None = field(default=None, repr=False)
    full_name: str | None = None
    company_name: str | None = None
    is_admin: bool = False
    billing_status: str = "active"
    trial_started_at: datetime | None = None
    trial_ends_at: datetime | None = None
    firebase_uid: str | None = None


@dataclass(frozen=True, slots=True)
class AccountUse:
    """An account with what its living apps reserve, and what it occupies of the disk."""

    account: Account
    reserved: Reservation
    disk: DiskUse


async def insert(connection: Connection, new: NewAccount) -> Account:
    """Raises `Duplicate` with constraint `account_email`."""
    row = await connection.fetchrow(
        SQL.insert,
        new.email,
        new.email_verified,
        new.password_hash,
        new.full_name,
        new.company_name,
        new.is_admin,
        new.plan,
        new.billing_status,
        new.trial_started_at,
        new.trial_ends_at,
        new.firebase_uid,
    )
    assert row is not None
    return Account.from_row(row)


async def get(connection: Connection, account: UserId) -> Account | None:
    return await fetch_one(connection, Account.from_row, SQL.get, account)


async def lock(connection: Connection, account: UserId) -> Account | None:
    """Like `get`, locked until the transaction ends."""
    return await fetch_one(connection, Account.from_row, SQL.lock, account)


async def share(connection: Connection, account: UserId) -> Account | None:
    """Like `get`, kept from changing until the transaction ends."""
    return await fetch_one(connection, Account.from_row, SQL.share, account)


async def by_email(connection: Connection, email: str) -> Account | None:
    return await fetch_one(connection, Account.from_row, SQL.by_email, email)


async def lock_by_email(connection: Connection, email: str) -> Account | None:
    return await fetch_one(connection, Account.from_row, SQL.lock_by_email, email)


async def lock_address(connection: Connection, email: str) -> None:
    """Lock the address until the transaction ends: one transaction at a time may create its account."""
    await connection.execute(SQL.lock_address, email)


async def set_profile(
    connection: Connection,
    account: UserId,
    *,
    full_name: str | None = None,
    company_name: str | None = None,
    password_hash: str | None = None,
) -> Account | None:
    """Change what is given; None leaves a value as it is."""
    return await fetch_one(
        connection, Account.from_row, SQL.set_profile, account, full_name, company_name, password_hash
    )


async def upgrade_password(connection: Connection, account: UserId, checked: str, upgraded: str) -> None:
    """Replace the hash `checked` of a password by a better one of the same password."""
    await connection.execute(SQL.upgrade_password, account, checked, upgraded)


async def prove(connection: Connection, account: UserId) -> Account | None:
    """Mark the address as verified and drop a password set before. None: it was verified already."""
    return await fetch_one(connection, Account.from_row, SQL.prove, account)


async def set_trial(
    connection: Connection, account: UserId, *, plan: str, started_at: datetime, ends_at: datetime
) -> Account | None:
    return await fetch_one(connection, Account.from_row, SQL.set_trial, account, plan, started_at, ends_at)


async def set_billing_state(connection: Connection, account: UserId, state: BillingState) -> Account | None:
    """Record where the account stands; its trial is as `set_trial` left it."""
    values = (state.billing_status, state.plan, state.granted_plan, state.paid_by)
    return await fetch_one(
        connection, Account.from_row, SQL.set_billing_state, account, *values, state.paid_until
    )


async def to_settle(connection: Connection) -> list[UserId]:
    """Return the accounts whose billing state may have changed with time or a new configuration."""
    return [row["id"] for row in await connection.fetch(SQL.to_settle)]


async def set_firebase_uid(connection: Connection, account: UserId, uid: str) -> None:
    """Record which Firebase user this account belongs to."""
    await connection.execute(SQL.set_firebase_uid, account, uid)


async def set_admin(connection: Connection, account: UserId, *, is_admin: bool, plan: str) -> Account | None:
    return await fetch_one(connection, Account.from_row, SQL.set_admin, account, is_admin, plan)


async def lock_admins(connection: Connection) -> list[UserId]:
    """Return the admins, all locked until the transaction ends."""
    return [row["id"] for row in await connection.fetch(SQL.lock_admins)]


async def mark_deleted(connection: Connection, account: UserId) -> bool:
    return await connection.fetchval(SQL.mark_deleted, account) is not None


async def page(
    connection: Connection,
    *,
    search: str = "",
    limit: int | None = None,
    offset: int = 0,
    account: UserId | None = None,
) -> list[AccountUse]:
    """Return accounts with their reservations, newest first; `search` is a literal part of the address."""
    rows = await connection.fetch(SQL.page, search, limit, offset, account)
    return [
        AccountUse(
            Account.from_row(row),
            Reservation(row["apps"], row["reserved_memory_mb"], row["reserved_disk_mb"], row["reserved_cpu"]),
            DiskUse(**{name: row[name] for name in DiskUse.__slots__}),
        )
        for row in rows
    ]


async def count(connection: Connection, *, search: str = "") -> int:
    return int(await connection.fetchval(SQL.count, search))
