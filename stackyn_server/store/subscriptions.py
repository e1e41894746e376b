"""Rows of `subscription` and `billing_event`: what the payment provider told us, each event once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from stackyn_server.domain.ids import UserId
from stackyn_server.domain.subscriptions import Subscription, SubscriptionStatus
from stackyn_server.store.database import Connection, delete_rows
from stackyn_server.store.queries import load

SQL = load("subscriptions")


async def take_event(connection: Connection, digest: bytes, name: str, subscription: str | None) -> bool:
    """Record an event. False when it was recorded before."""
    return await connection.fetchval(SQL.take_event, digest, name, subscription) is not None


async def end_event(connection: Connection, digest: bytes, outcome: str, account: UserId | None) -> None:
    await connection.execute(SQL.end_event, digest, outcome, account)


async def lock_subscription(connection: Connection, provider_id: str) -> None:
    await connection.execute(SQL.lock_subscription, provider_id)


async def owner(connection: Connection, provider_id: str) -> UserId | None:
    """Return the living account that the subscription belongs to."""
    account: UserId | None = await connection.fetchval(SQL.owner, provider_id)
    return account


async def put(
    connection: Connection, described: Subscription, *, account: UserId | None, email: str, as_of: datetime
) -> bool:
    """Keep the newest description. False when a newer one is known."""
    values = (described.status.value, described.is_served, described.ends_at, as_of)
    return (
        await connection.fetchval(SQL.put, described.provider_id, account, email, described.variant, *values)
        is not None
    )


async def set_status(
    connection: Connection,
    provider_id: str,
    status: SubscriptionStatus,
    *,
    instead_of: Collection[SubscriptionStatus],
    as_of: datetime,
) -> bool:
    """Change the status from one of `instead_of`, unless the subscription was described after `as_of`."""
    former = [status.value for status in instead_of]
    return await connection.fetchval(SQL.set_status, provider_id, status.value, former, as_of) is not None


async def claim(connection: Connection, account: UserId, email: str) -> int:
    """Give the account the subscriptions that were bought with its proven address; return how many."""
    return len(await connection.fetch(SQL.claim, account, email))


async def of_account(connection: Connection, account: UserId) -> list[Subscription]:
    rows = await connection.fetch(SQL.of_account, account)
    return [Subscription(**{**row, "status": SubscriptionStatus(row["status"])}) for row in rows]


async def forget(connection: Connection, account: UserId) -> None:
    """Delete the account's subscriptions, for the development endpoint."""
    await connection.execute(SQL.forget, account)


async def purge_events(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete at most `limit` of the events older than `keep_days`; return how many."""
    return await delete_rows(connection, SQL.purge_events, keep_days, limit)


async def purge_unclaimed(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete at most `limit` of the subscriptions of nobody living, unchanged for `keep_days`; return how many."""
    return await delete_rows(connection, SQL.purge_unclaimed, keep_days, limit)
