"""Webhooks of Lemon Squeezy: whether one is genuine, and what it says.

The form is that of the provider's documentation, compared with its guide "Staying in sync with webhooks" and with the
subscription and subscription invoice of its own SDK (lmsqueezy/lemonsqueezy.js): HMAC-SHA256 of the raw body in
`X-Signature`; `meta.event_name`, `meta.custom_data`; a JSON:API object in `data`, whose type says what its attributes
describe. lmsqueezy/laravel reads the same members of its webhooks.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
)

from stackyn_server.domain.subscriptions import Subscription, SubscriptionStatus
from stackyn_server.domain.text import is_storable
from stackyn_server.errors import InvalidRequest, SignInRequired

_PREFIX = "sha256="
_SUBSCRIPTION, _INVOICE = "subscriptions", "subscription-invoices"


class SignatureWrong(SignInRequired):
    def __init__(self) -> None:
        super().__init__("The signature of this webhook is not right.", hint="Check its signing secret.")


class Payment(StrEnum):
    FAILED = "failed"
    PAID = "paid"


_PAYMENTS = {
    "subscription_payment_failed": Payment.FAILED,
    "subscription_payment_success": Payment.PAID,
    "subscription_payment_recovered": Payment.PAID,
}
# Where the object says nothing else. An end is an end, whatever the object says.
_IMPLIED = {
    "subscription_cancelled": SubscriptionStatus.CANCELLED,
    "subscription_expired": SubscriptionStatus.EXPIRED,
    "subscription_paused": SubscriptionStatus.PAUSED,
    "subscription_payment_failed": SubscriptionStatus.PAST_DUE,
}


@dataclass(frozen=True, slots=True)
class BillingEvent:
    """What a webhook says. `subscription`, if the event describes it, is the state at `as_of` of the provider's clock.

    `buyer` is the account that the checkout named, `email` the address that was given there. An event without a
    `subscription_id` is ignored.
    """

    name: str
    subscription_id: str | None = None
    subscription: Subscription | None = None
    payment: Payment | None = None
    buyer: UUID | None = None
    email: str = ""
    as_of: datetime | None = None


def check_signature(secret: str, body: bytes, signature: str) -> None:
    """Raises `SignatureWrong`, always without a secret."""
    given = signature.strip().lower().removeprefix(_PREFIX).encode("utf-8", "surrogateescape")
    right = hmac.new(secret.encode(), body, sha256).hexdigest().encode()
    if not hmac.compare_digest(given, right) or not secret:
        raise SignatureWrong


def read_event(body: bytes) -> BillingEvent:
    """Return what a genuine body says. Raises `InvalidRequest` for one that is no JSON or not in the known form."""
    try:
        sent = _Sent.model_validate_json(body)
        kind = sent.data.type
        if kind not in (_SUBSCRIPTION, _INVOICE):
            return BillingEvent(sent.meta.event_name)
        if kind == _INVOICE and sent.meta.event_name not in _PAYMENTS:
            return BillingEvent(sent.meta.event_name)
        return _about_subscription(sent)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        if problem["type"] == "json_invalid":
            raise InvalidRequest("The webhook's body is not JSON.", code="INVALID_JSON") from error
        place = ".".join(part for part in problem["loc"] if isinstance(part, str))
        raise InvalidRequest(f"The webhook's body has no usable {place or 'object'}.") from error


def _about_subscription(sent: _Sent) -> BillingEvent:
    name = sent.meta.event_name
    subscription = None
    facts: _SubscriptionAttributes | _Invoice
    if sent.data.type == _SUBSCRIPTION:
        facts = _SubscriptionAttributes.model_validate(sent.data.attributes)
        subscription_id = sent.data.id
        subscription = _subscription(name, subscription_id, facts)
    else:
        facts = _Invoice.model_validate(sent.data.attributes)
        subscription_id = facts.subscription_id
    return BillingEvent(
        name,
        subscription_id=subscription_id,
        subscription=subscription,
        payment=_PAYMENTS.get(name),
        buyer=_buyer(sent.meta.custom_data),
        email=(facts.user_email or "").strip(),
        as_of=facts.updated_at,
    )


def _subscription(name: str, subscription_id: str, facts: _SubscriptionAttributes) -> Subscription:
    implied = _IMPLIED.get(name, SubscriptionStatus.ACTIVE)
    status = SubscriptionStatus.EXPIRED if implied is SubscriptionStatus.EXPIRED else facts.status or implied
    is_served = facts.pause is not None and facts.pause.mode == "free"
    return Subscription(subscription_id, facts.variant_id, status, is_served, facts.ends_at)


def _buyer(custom_data: Any) -> UUID | None:
    """A checkout's custom data is anybody's to write."""
    named = custom_data.get("user_id") if isinstance(custom_data, dict) else None
    try:
        return UUID(named) if isinstance(named, str) else None
    except ValueError:
        return None


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("has characters that can't be kept")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError("is beyond the calendar") from error


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _status(value: Any) -> Any:
    """The provider's SDK lists "pause" beside "paused"."""
    return SubscriptionStatus.PAUSED if value == "pause" else value


_Text = Annotated[str, StringConstraints(max_length=320), AfterValidator(_storable)]
_Id = Annotated[_Text, StringConstraints(min_length=1), BeforeValidator(_as_text)]
_Moment = Annotated[datetime, AfterValidator(_in_utc)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _Meta(_Part):
    event_name: _Text
    custom_data: Any = None


class _Data(_Part):
    type: _Text
    id: _Id
    attributes: dict[str, Any]


class _Sent(_Part):
    meta: _Meta
    data: _Data


class _Pause(_Part):
    mode: Literal["void", "free"] | None = None


class _SubscriptionAttributes(_Part):
    variant_id: _Id
    status: Annotated[SubscriptionStatus | None, BeforeValidator(_status)] = None
    user_email: _Text | None = None
    pause: _Pause | None = None
    ends_at: _Moment | None = None
    updated_at: _Moment | None = None


class _Invoice(_Part):
    subscription_id: _Id
    user_email: _Text | None = None
    updated_at: _Moment | None = None
