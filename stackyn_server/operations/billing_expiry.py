"""Ends trials and paid periods on time: an `expiry` job for each account, and a periodic check of all."""

from __future__ import annotations

from uuid import UUID

from stackyn_server.domain.ids import UserId
from stackyn_server.jobs.run import JobRun
from stackyn_server.services.billing import Billing, billing_state_of, next_check
from stackyn_server.store import accounts
from stackyn_server.store.database import Database


class BillingExpiry:
    def __init__(self, database: Database, billing: Billing) -> None:
        self._database = database
        self._billing = billing

    async def expire(self, run: JobRun) -> None:
        """Handle an `expiry` job, whose subject is the account: settle the account at its end."""
        async with self._database.transaction() as connection:
            account = await accounts.lock(connection, UserId(UUID(run.job.subject)))
            now = run.now()
            settled = await self._billing.settle(connection, account, now) if account else None
            check_at = next_check(billing_state_of(settled), now) if settled else None
            if check_at is None:
                await run.finish(connection)
            else:
                await run.retry(connection, check_at, "the end of a trial or of what is paid for")

    async def settle_all(self, _run: JobRun | None = None) -> None:
        """Settle each account that time or a changed configuration may change, in a transaction of its own."""
        async with self._database.connection() as connection:
            account_ids = await accounts.to_settle(connection)
        for account_id in account_ids:
            async with self._database.transaction() as connection:
                account = await accounts.lock(connection, account_id)
                if account is not None:
                    await self._billing.settle(connection, account)
