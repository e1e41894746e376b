"""Sets the caller's own billing status, to test what it does. Development servers only."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from stackyn_server.config import Settings
from stackyn_server.domain.subscriptions import ACTIVE, EXPIRED, TRIAL
from stackyn_server.errors import NotFound
from stackyn_server.services.account_views import AccountView, account_view, billing_status, require_plan
from stackyn_server.services.billing import Billing, billing_state_of
from stackyn_server.services.sessions import Caller, SessionEnded
from stackyn_server.store import accounts, subscriptions
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection, Database

FREE_TRIAL = "free_trial"  # the published name of whatever plan a trial gives


class BillingSimulation:
    def __init__(self, database: Database, settings: Settings, billing: Billing) -> None:
        self._database = database
        self._settings = settings
        self._billing = billing

    async def set(
        self, caller: Caller, *, status: str | None, plan: str | None, trial_ends_at: datetime | None
    ) -> AccountView:
        """Change the given values as if time or a payment had done so; the account's real subscriptions are deleted.

        Raises `NotFound` unless `[billing] test_endpoint` is on.
        """
        if not self._settings.billing.test_endpoint:
            raise NotFound("There is nothing at this address.")
        chosen = self._settings.billing.trial_plan if plan == FREE_TRIAL else plan
        if chosen:
            require_plan(self._settings, chosen, FREE_TRIAL)
        async with self._database.transaction() as connection:
            account = await accounts.lock(connection, caller.id)
            if account is None:
                raise SessionEnded
            status = status or billing_status(account)
            chosen = chosen or account.plan
            await subscriptions.forget(connection, account.id)
            account = await self._with_trial(connection, account, status, chosen, trial_ends_at)
            state = replace(
                billing_state_of(account),
                plan=chosen,
                granted_plan=chosen if status == ACTIVE else None,
                paid_by=None,
                paid_until=None,
            )
            account = await accounts.set_billing_state(connection, account.id, state) or account
            account = await self._billing.settle(connection, account)
        return account_view(account)

    async def _with_trial(
        self, connection: Connection, account: Account, status: str, plan: str, ends_at: datetime | None
    ) -> Account:
        """Give the account the trial that its status needs: a running one, or one that is over."""
        now = datetime.now(UTC)
        ends_at = ends_at or account.trial_ends_at
        if status == TRIAL and ends_at is None:
            ends_at = now + timedelta(days=self._settings.billing.trial_days)
        if status == EXPIRED and (ends_at is None or ends_at > now):
            ends_at = now
        if ends_at is None:
            return account
        started_at = min(account.trial_started_at or now, ends_at)
        changed = await accounts.set_trial(
            connection, account.id, plan=plan, started_at=started_at, ends_at=ends_at
        )
        return changed or account
