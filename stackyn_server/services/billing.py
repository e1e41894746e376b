"""Who pays for what: the one place that writes an account's billing status and billing plan.

Everything that may change them (an event of the provider, time, an administrator, a proof of the address) ends in
`settle`, which decides anew from all rows, then stops or starts apps, enqueues mails and sets the next check.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from stackyn_server.config import Settings
from stackyn_server.domain.jobs import Kind
from stackyn_server.domain.subscriptions import (
    ACTIVE,
    EXPIRED,
    TRIAL,
    BillingState,
    PricedSubscription,
    Subscription,
    decide,
)
from stackyn_server.gateways.mail.templates import MailTemplate
from stackyn_server.services.account_views import billing_plan, is_sold
from stackyn_server.services.deploy_requests import Leader
from stackyn_server.services.mail import MailQueue
from stackyn_server.services.paid_apps import PaidApps
from stackyn_server.store import accounts, events, jobs, subscriptions
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection

_LONGEST_WAIT = timedelta(days=365)  # a later end is checked again then


class Billing:
    """All methods that take a connection want the account's row locked in its transaction."""

    def __init__(self, settings: Settings, leader: Leader, mail: MailQueue) -> None:
        self._settings = settings
        self._apps = PaidApps(settings, leader)
        self._mail = mail

    async def begin(self, connection: Connection, account: Account) -> Account:
        """Start the billing of a new account. With a proven address, its earlier subscriptions count at once."""
        if account.email_verified:
            await subscriptions.claim(connection, account.id, account.email)
        account = await self.settle(connection, account)
        if account.billing_status == TRIAL and account.trial_ends_at is not None:
            ends = f"{account.trial_ends_at:%d %B %Y, %H:%M} UTC"
            await self.tell(connection, account, MailTemplate.TRIAL_STARTED, ends=ends)
        return account

    async def proved(self, connection: Connection, account: Account) -> Account:
        """Restart the trial at the first proof of the address: a stranger may have used the account before."""
        is_on_trial = account.trial_ends_at is not None and account.granted_plan is None
        if is_on_trial and is_sold(self._settings):
            now = datetime.now(UTC)
            billing = self._settings.billing
            ends_at = now + timedelta(days=billing.trial_days)
            restarted = await accounts.set_trial(
                connection, account.id, plan=billing.trial_plan, started_at=now, ends_at=ends_at
            )
            account = restarted or account
        return await self.begin(connection, account)

    async def settle(self, connection: Connection, account: Account, now: datetime | None = None) -> Account:
        """Decide and record the account's billing state; stop or start its apps, mail its owner, set the next check."""
        now = now or datetime.now(UTC)
        before = billing_state_of(account)
        state = await self._decide(connection, account, before, now)
        if state != before:
            account = await accounts.set_billing_state(connection, account.id, state) or account
            data = {"billing_status": state.billing_status, "plan": state.plan}
            await events.append(connection, "account.settled", tenant=account.id, data=data)
        if state.billing_status != EXPIRED:
            await self._apps.start(connection, account)
        elif before.billing_status != EXPIRED:
            await self._apps.stop(connection, account)
            await self.tell(connection, account, MailTemplate.TRIAL_ENDED)
        if (check_at := next_check(state, now)) is not None:
            await jobs.enqueue_at(connection, Kind.EXPIRY, str(account.id), check_at, tenant=account.id)
        return account

    async def grant(self, connection: Connection, account: Account, plan: str) -> Account:
        """Put the account on a plan that an administrator chose, paid for or not.

        Choosing the plan that its own subscription pays for removes an earlier grant.
        """
        without = await self._decide(
            connection, account, replace(billing_state_of(account), granted_plan=None), datetime.now(UTC)
        )
        is_paid_for = without.paid_by is not None and without.plan == plan
        granted = replace(
            billing_state_of(account),
            plan=plan,
            granted_plan=None if is_paid_for else plan,
            paid_by=without.paid_by,
            paid_until=without.paid_until,
        )
        account = await accounts.set_billing_state(connection, account.id, granted) or account
        return await self.settle(connection, account)

    async def tell(
        self, connection: Connection, account: Account, template: MailTemplate, **values: str
    ) -> None:
        """Mail the owner, if the address is proven."""
        if account.email_verified:
            _, plan = billing_plan(self._settings, account.plan)
            values = {"plan": plan.display_name, **values}
            await self._mail.put(connection, template, account.email, values)

    async def _decide(
        self, connection: Connection, account: Account, before: BillingState, now: datetime
    ) -> BillingState:
        if not is_sold(self._settings):
            return replace(before, billing_status=ACTIVE, paid_by=None, paid_until=None)
        return decide(before, self._priced(await subscriptions.of_account(connection, account.id)), now)

    def _priced(self, described: list[Subscription]) -> list[PricedSubscription]:
        """Leave out variants that the configuration doesn't know: they neither entitle nor end anything."""
        plans, variants = self._settings.plans, self._settings.billing.variants
        return [
            PricedSubscription(subscription, plan, plans[plan].price)
            for subscription in described
            if (plan := variants.get(subscription.variant)) is not None
        ]


def next_check(state: BillingState, now: datetime) -> datetime | None:
    """Return when time may change this state; None: it has no end."""
    return min(state.ends_at, now + _LONGEST_WAIT) if state.ends_at is not None else None


def billing_state_of(account: Account) -> BillingState:
    return BillingState(
        billing_status=account.billing_status,
        plan=account.plan,
        granted_plan=account.granted_plan,
        paid_by=account.paid_by,
        paid_until=account.paid_until,
        trial_ends_at=account.trial_ends_at,
    )
