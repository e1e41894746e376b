"""Events of the payment provider: checked by signature, applied once, in any order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from hashlib import sha256

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.ids import UserId
from stackyn_server.domain.subscriptions import SubscriptionStatus
from stackyn_server.gateways.lemon_squeezy import BillingEvent, Payment, check_signature, read_event
from stackyn_server.gateways.mail.templates import MailTemplate
from stackyn_server.security.secret_files import read_secret
from stackyn_server.services.account_views import NO_PROVIDER
from stackyn_server.services.billing import Billing
from stackyn_server.store import accounts, subscriptions
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection, Database

log = structlog.get_logger("stackyn.billing")

# What a payment means for its subscription, when the provider's description of the subscription comes later.
_AFTER = {
    Payment.FAILED: (SubscriptionStatus.PAST_DUE, (SubscriptionStatus.ACTIVE,)),
    Payment.PAID: (SubscriptionStatus.ACTIVE, (SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID)),
}


class BillingWebhooks:
    def __init__(self, database: Database, settings: Settings, billing: Billing) -> None:
        self._database = database
        self._settings = settings
        self._billing = billing

    async def take(self, body: bytes, signature: str) -> None:
        """Apply an event, park it for a buyer without an account, or ignore it; the provider gets the same answer.

        Raises `SignatureWrong` and `InvalidRequest`; nothing is recorded then.
        """
        billing = self._settings.billing
        has_provider = billing.provider != NO_PROVIDER
        path, setting = billing.webhook_secret_file, "[billing] webhook_secret_file"
        secret = await asyncio.to_thread(read_secret, path, setting) if has_provider else ""
        check_signature(secret.strip(), body, signature)
        event = read_event(body)
        digest = sha256(body).digest()
        async with self._database.transaction() as connection:
            if not await subscriptions.take_event(connection, digest, event.name, event.subscription_id):
                log.info("billing.event_repeated", name=event.name)
                return
            outcome, account = await self._apply(connection, event)
            await subscriptions.end_event(connection, digest, outcome, account)
        log.info("billing.event", name=event.name, subscription=event.subscription_id, outcome=outcome)

    async def _apply(self, connection: Connection, event: BillingEvent) -> tuple[str, UserId | None]:
        if event.subscription_id is None:
            return "of no interest", None
        # Advisory locks come before row locks, the address's first: a proof of the address takes them in this order.
        await accounts.lock_address(connection, event.email)
        await subscriptions.lock_subscription(connection, event.subscription_id)
        account = await self._account(connection, event, event.subscription_id)
        if not await self._record(connection, event, event.subscription_id, account):
            return "out of date", account.id if account else None
        if account is None:
            return "parked", None
        account = await self._billing.settle(connection, account)
        if event.payment is Payment.FAILED:
            await self._billing.tell(connection, account, MailTemplate.PAYMENT_FAILED)
        if event.subscription and event.subscription.variant not in self._settings.billing.variants:
            log.warning("billing.variant_unknown", variant=event.subscription.variant)
            return "unknown variant", account.id
        return "applied", account.id

    async def _record(
        self, connection: Connection, event: BillingEvent, subscription_id: str, account: Account | None
    ) -> bool:
        """Record the event's subscription. False when a newer event was recorded."""
        as_of = event.as_of or datetime.now(UTC)
        if event.subscription is not None:
            return await subscriptions.put(
                connection,
                event.subscription,
                account=account.id if account else None,
                email=event.email,
                as_of=as_of,
            )
        if event.payment is not None:
            status, former = _AFTER[event.payment]
            await subscriptions.set_status(
                connection, subscription_id, status, instead_of=former, as_of=as_of
            )
        return True

    async def _account(
        self, connection: Connection, event: BillingEvent, subscription_id: str
    ) -> Account | None:
        """Find the event's account by an earlier event, the checkout or a proven address, and lock its row."""
        owner = await subscriptions.owner(connection, subscription_id)
        for account_id in (owner, UserId(event.buyer) if event.buyer else None):
            if (
                account_id is not None
                and (account := await accounts.lock(connection, account_id)) is not None
            ):
                return account
        account = await accounts.lock_by_email(connection, event.email) if event.email else None
        return account if account is not None and account.email_verified else None
