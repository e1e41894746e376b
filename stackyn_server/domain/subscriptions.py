"""What an account may use: decided from its trial, its subscriptions and the plan that an administrator granted.

The statuses and their meaning are those of Lemon Squeezy's subscription object, from memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

TRIAL, ACTIVE, EXPIRED = "trial", "active", "expired"


class SubscriptionStatus(StrEnum):
    """The provider's words. `past_due`: a payment failed and is tried again; `unpaid`: all tries have failed."""

    ON_TRIAL = "on_trial"
    ACTIVE = "active"
    PAUSED = "paused"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the provider last described it. `is_served`: the service goes on while it is paused."""

    provider_id: str
    variant: str
    status: SubscriptionStatus
    is_served: bool
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class PricedSubscription:
    """What a subscription is for: the billing plan that its variant stands for, with its price."""

    subscription: Subscription
    plan: str
    price: int

    @property
    def key(self) -> str:
        return f"{self.subscription.provider_id}:{self.subscription.variant}"


@dataclass(frozen=True, slots=True)
class BillingState:
    """An account's billing status and plan, with what decides them. `paid_until`: cancelled, and paid to that day."""

    billing_status: str
    plan: str
    granted_plan: str | None = None
    paid_by: str | None = None
    paid_until: datetime | None = None
    trial_ends_at: datetime | None = None

    @property
    def ends_at(self) -> datetime | None:
        """When time ends this state; None: never."""
        return {TRIAL: self.trial_ends_at, ACTIVE: self.paid_until}.get(self.billing_status)


def entitles(subscription: Subscription, now: datetime) -> bool:
    """Return whether the subscription entitles to service now. A cancelled one does until its end date, if any."""
    match subscription.status:
        case SubscriptionStatus.ON_TRIAL | SubscriptionStatus.ACTIVE | SubscriptionStatus.PAST_DUE:
            return True
        case SubscriptionStatus.PAUSED:
            return subscription.is_served
        case SubscriptionStatus.CANCELLED:
            return subscription.ends_at is None or subscription.ends_at > now
        case SubscriptionStatus.UNPAID | SubscriptionStatus.EXPIRED:
            return False


def decide(before: BillingState, offers: Sequence[PricedSubscription], now: datetime) -> BillingState:
    """Return the account's billing state now.

    Of several subscriptions the dearest that entitles counts, so the end of an old one ends nothing. Once there was
    a subscription, its end is the account's, whatever is left of the trial. A granted plan counts until another
    subscription, another variant or none pays for the account.
    """
    best = max(
        (offer for offer in offers if entitles(offer.subscription, now)),
        key=lambda offer: (
            offer.price,
            offer.subscription.status is not SubscriptionStatus.CANCELLED,
            offer.key,
        ),
        default=None,
    )
    paid_by = best.key if best else None
    granted = before.granted_plan if paid_by == before.paid_by else None
    kept = replace(before, granted_plan=granted, paid_by=paid_by, paid_until=None)
    if best is not None:
        paid_until = (
            best.subscription.ends_at if best.subscription.status is SubscriptionStatus.CANCELLED else None
        )
        return replace(kept, billing_status=ACTIVE, plan=granted or best.plan, paid_until=paid_until)
    if granted is not None:
        return replace(kept, billing_status=ACTIVE, plan=granted)
    if offers:
        return replace(kept, billing_status=EXPIRED)
    if before.trial_ends_at is None:
        return replace(kept, billing_status=ACTIVE)
    return replace(kept, billing_status=TRIAL if before.trial_ends_at > now else EXPIRED)
