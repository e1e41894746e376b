"""The payment provider, as far as it calls us: it signs events in its documented form and delivers them."""

from __future__ import annotations

import hmac
import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from tests.contract.conftest import Answer, Person

PATH = "/api/webhooks/lemon-squeezy"
SECRET = "a signing secret"
VARIANTS = {"101": "starter", "102": "builder", "103": "pro"}

AMOUNTS = {"subtotal": 4900, "discount_total": 0, "tax": 0, "total": 4900, "refunded_amount": 0}

_numbers = itertools.count(1)
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, sha256).hexdigest()


async def deliver(nobody: Person, body: bytes, signed: str | None = None, **headers: str) -> Answer:
    given = signature(body) if signed is None else signed
    return await nobody.post(PATH, data=body, headers={"X-Signature": given, **headers})


@dataclass
class ProviderSubscription:
    """One subscription at the provider, whose own clock goes on by a minute with every event."""

    nobody: Person | None  # who delivers; None: somebody else does
    email: str
    variant: int = 103
    user_id: str | None = None
    id: str = field(default_factory=lambda: str(next(_numbers)))
    minute: int = 0

    def event(self, name: str, status: str, *, minute: int | None = None, **attributes: Any) -> bytes:
        """The provider's words for it, of a given minute."""
        return _body(
            name, "subscriptions", self.id, self.user_id,
            {
                "store_id": 1, "customer_id": 2, "order_id": 3, "order_item_id": 4, "product_id": 5,
                "variant_id": self.variant, "product_name": "Stackyn", "variant_name": "Monthly", "user_name": "Ada",
                "card_brand": "visa", "card_last_four": "4242", "billing_anchor": 1, "first_subscription_item": None,
                "urls": {"update_payment_method": "https://a.test", "customer_portal": "https://b.test"},
                "user_email": self.email, "status": status, "status_formatted": status.title(),
                "pause": None, "cancelled": status == "cancelled", "trial_ends_at": None,
                "renews_at": "2027-01-01T00:00:00.000000Z", "ends_at": None,
                "created_at": _moment(0), "updated_at": _moment(self._next(minute)), "test_mode": False,
                **attributes,
            },
        )  # fmt: skip

    def payment(self, name: str, status: str, *, minute: int | None = None) -> bytes:
        return _body(
            name, "subscription-invoices", f"9{self.id}", self.user_id,
            {
                "store_id": 1, "subscription_id": int(self.id), "customer_id": 2, "user_name": "Ada",
                "user_email": self.email, "billing_reason": "renewal", "status": status,
                "status_formatted": status.title(), "card_brand": "visa", "card_last_four": "4242",
                "currency": "USD", "currency_rate": "1.0", "refunded": False, "refunded_at": None,
                "tax_inclusive": False, "urls": {"invoice_url": None},
                **{f"{of}{unit}": amount for of, amount in AMOUNTS.items() for unit in ("", "_usd")},
                **{f"{of}_formatted": f"${amount / 100:.2f}" for of, amount in AMOUNTS.items()},
                "created_at": _moment(0), "updated_at": _moment(self._next(minute)), "test_mode": False,
            },
        )  # fmt: skip

    async def tell(self, name: str, status: str, **attributes: Any) -> Answer:
        assert self.nobody is not None
        answer = await deliver(self.nobody, self.event(name, status, **attributes))
        assert (answer.status, answer.json) == (200, {"status": "ok"}), answer.text
        return answer

    async def tell_payment(self, name: str, status: str) -> None:
        assert self.nobody is not None
        answer = await deliver(self.nobody, self.payment(name, status))
        assert (answer.status, answer.json) == (200, {"status": "ok"}), answer.text

    def _next(self, minute: int | None) -> int:
        self.minute = self.minute + 1 if minute is None else minute
        return self.minute


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat().replace("+00:00", "Z")


def _moment(minute: int) -> str:
    return (_BEGAN + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def _body(name: str, kind: str, number: str, user_id: str | None, attributes: dict[str, Any]) -> bytes:
    meta: dict[str, Any] = {"test_mode": False, "event_name": name, "webhook_id": "a-webhook"}
    if user_id is not None:
        meta["custom_data"] = {"user_id": user_id}
    return json.dumps(
        {"meta": meta, "data": {"type": kind, "id": number, "attributes": attributes, "links": {}}}
    ).encode()
