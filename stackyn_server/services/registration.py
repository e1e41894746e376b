"""Creates accounts, and hands an account to its owner at the first proof of the address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stackyn_server.config import Settings
from stackyn_server.domain.subscriptions import TRIAL
from stackyn_server.services.account_views import NO_PROVIDER
from stackyn_server.services.billing import Billing
from stackyn_server.store import accounts, registries, sessions, tokens
from stackyn_server.store.accounts import Account, NewAccount
from stackyn_server.store.database import Connection


def new_account(settings: Settings, email: str, **values: Any) -> NewAccount:
    """Return the row of a new account: on the default plan, or on trial where plans are sold."""
    billing = settings.billing
    if billing.provider == NO_PROVIDER:
        return NewAccount(email=email, plan=billing.default_plan, **values)
    now = datetime.now(UTC)
    return NewAccount(
        email=email,
        plan=billing.trial_plan,
        billing_status=TRIAL,
        trial_started_at=now,
        trial_ends_at=now + timedelta(days=billing.trial_days),
        **values,
    )


async def account_of_proven_address(
    connection: Connection,
    settings: Settings,
    billing: Billing,
    email: str,
    *,
    firebase_uid: str | None = None,
) -> tuple[Account, bool]:
    """Return the account of an address that was just proven, and whether it is new.

    An unverified account has no owner: its password, sessions, tokens and registry credentials are deleted at the
    first proof of its address.
    """
    await accounts.lock_address(connection, email)
    account = await accounts.lock_by_email(connection, email)
    if account is None:
        new = new_account(settings, email, email_verified=True, firebase_uid=firebase_uid)
        return await billing.begin(connection, await accounts.insert(connection, new)), True
    proven = await accounts.prove(connection, account.id)
    if proven is not None:
        await sessions.end_all(connection, account.id)
        await tokens.delete_all(connection, account.id)
        await registries.delete_all(connection, account.id)
        account = await billing.proved(connection, proven)
    return account, False
