"""Views of accounts, without what only the server may know (password hashes)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from stackyn_server.config import PlanSettings, Settings
from stackyn_server.domain.billing_plans import Reservation
from stackyn_server.domain.disk_use import DiskUse, check_disk_use
from stackyn_server.domain.ids import UserId
from stackyn_server.domain.subscriptions import ACTIVE, EXPIRED, TRIAL
from stackyn_server.errors import InvalidRequest
from stackyn_server.store import disk_use
from stackyn_server.store.accounts import Account, AccountUse
from stackyn_server.store.database import Connection

NO_PROVIDER = "none"
MEBIBYTES_PER_GIBIBYTE = 1024
CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class AccountView:
    id: UserId
    email: str
    full_name: str | None
    company_name: str | None
    email_verified: bool
    is_admin: bool
    plan: str
    billing_status: str
    trial_started_at: datetime | None
    trial_ends_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class QuotaView:
    """The billing plan whose limits are enforced, what the account's living apps reserve of them, and what they occupy
    of the disk."""

    plan_name: str
    plan: PlanSettings
    reserved: Reservation
    disk: DiskUse


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """`status` is trial, active, expired or cancelled."""

    status: str
    plan: str
    trial_started_at: datetime | None
    trial_ends_at: datetime | None
    memory_limit_mb: int
    disk_limit_gb: int


@dataclass(frozen=True, slots=True)
class Profile:
    account: AccountView
    quota: QuotaView
    subscription: SubscriptionView | None


def account_view(account: Account) -> AccountView:
    values = {name: getattr(account, name) for name in AccountView.__slots__}
    return AccountView(**{**values, "billing_status": billing_status(account)})


def billing_status(account: Account) -> str:
    """Return the status that counts now: a trial or paid period is over at its end, even before the row says so."""
    ends_at = {TRIAL: account.trial_ends_at, ACTIVE: account.paid_until}.get(account.billing_status)
    is_over = ends_at is not None and ends_at <= datetime.now(UTC)
    return EXPIRED if is_over else account.billing_status


def is_sold(settings: Settings) -> bool:
    """Say whether accounts can have a trial or a subscription: with a payment provider, or to test billing."""
    return settings.billing.provider != NO_PROVIDER or settings.billing.test_endpoint


def billing_plan(settings: Settings, name: str) -> tuple[str, PlanSettings]:
    """Return the plan called `name`; the default plan when the configuration no longer has it."""
    if name not in settings.plans:
        name = settings.billing.default_plan
    return name, settings.plans[name]


async def require_disk(connection: Connection, settings: Settings, account: UserId, plan_name: str) -> None:
    """Raise `Forbidden` when the account occupies more disk than its plan has: it may build nothing more."""
    _, plan = billing_plan(settings, plan_name)
    check_disk_use(await disk_use.of_account(connection, account), plan.max_disk_mb)


def require_plan(settings: Settings, name: str, *other_names: str) -> None:
    """Raises `InvalidRequest` for a name that no plan has. `other_names` can be chosen too."""
    if name not in settings.plans:
        raise InvalidRequest(
            "There is no such plan.",
            hint=f"Choose one of: {', '.join([*other_names, *settings.plans])}.",
            details={"field": "plan"},
        )


def quota_view(settings: Settings, use: AccountUse) -> QuotaView:
    name, plan = billing_plan(settings, use.account.plan)
    return QuotaView(plan_name=name, plan=plan, reserved=use.reserved, disk=use.disk)


def profile_view(settings: Settings, use: AccountUse) -> Profile:
    return Profile(
        account=account_view(use.account),
        quota=quota_view(settings, use),
        subscription=_subscription(settings, use.account),
    )


def _subscription(settings: Settings, account: Account) -> SubscriptionView | None:
    """Describe the account's trial or subscription; None without one, and where plans are not sold."""
    is_subscribed = account.trial_started_at is not None or account.paid_by is not None
    status = billing_status(account)
    if not is_sold(settings) or not (is_subscribed or status == EXPIRED):
        return None
    name, plan = billing_plan(settings, account.plan)
    return SubscriptionView(
        status=CANCELLED if status == ACTIVE and account.paid_until is not None else status,
        plan=name,
        trial_started_at=account.trial_started_at,
        trial_ends_at=account.trial_ends_at,
        memory_limit_mb=plan.max_ram_mb,
        disk_limit_gb=plan.max_disk_mb // MEBIBYTES_PER_GIBIBYTE,
    )
