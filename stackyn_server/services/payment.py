"""Checks whether an account may use what a plan pays for."""

from __future__ import annotations

from stackyn_server.domain.ids import UserId
from stackyn_server.domain.subscriptions import EXPIRED
from stackyn_server.errors import PaymentRequired
from stackyn_server.services.account_views import billing_status
from stackyn_server.store import accounts
from stackyn_server.store.database import Connection


def require_paid(status: str) -> None:
    """Raises `PaymentRequired` for the status of an account whose trial or subscription is over."""
    if status == EXPIRED:
        raise PaymentRequired(
            "Your trial or subscription is over.",
            hint="Choose a plan to go on; your apps and their data are kept.",
            details={"billing_status": status},
        )


async def require_still_paid(connection: Connection, tenant: UserId | None) -> None:
    """Check again in the transaction that lets an app run, before the app is locked: an expiry at the same time waits
    for this transaction and then stops that app too. An administrator (`tenant` None) always passes."""
    account = await accounts.share(connection, tenant) if tenant is not None else None
    if account is not None:
        require_paid(billing_status(account))
