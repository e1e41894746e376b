"""What the payment provider may send: signed, readable, and of interest, or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.gateways.lemon_squeezy import read_event
from tests.contract.billing.customers import a_customer, billing_of
from tests.contract.billing.provider import ProviderSubscription, deliver, signature
from tests.contract.conftest import Platform
from tests.contract.test_conventions import is_error


async def test_only_the_right_signature_of_the_raw_body_is_taken(billed_platform: Platform) -> None:
    nobody = billed_platform.nobody
    body = ProviderSubscription(nobody, "a@example.test").event("subscription_created", "active")
    right = signature(body)
    for wrong in (
        "",
        "sha256=",
        right[:-1],
        right + "0",
        signature(body, "another"),
        signature(body + b" "),
        "é",
    ):
        answer = await deliver(nobody, body, wrong.encode().decode("latin-1"))
        assert is_error(answer, 401, "SIGN_IN_REQUIRED"), wrong
    assert (await nobody.post("/api/webhooks/lemon-squeezy", data=body)).status == 401
    assert await billed_platform.value("SELECT count(*) FROM billing_event") == 0
    for accepted in (right, f"sha256={right}"):
        assert (await deliver(nobody, body, accepted)).json == {"status": "ok"}


@pytest.mark.parametrize("given", [{}, {"webhook_secret_file": ""}, {"provider": "none"}])
async def test_without_a_secret_everything_is_refused(
    launch: Callable[..., Any], given: dict[str, Any]
) -> None:
    platform = await launch(billing=config.BillingSettings(**{"provider": "lemonsqueezy", **given}))
    body = ProviderSubscription(platform.nobody, "a@example.test").event("subscription_created", "active")
    for signed in (signature(body), signature(body, "")):
        assert is_error(await deliver(platform.nobody, body, signed), 401, "SIGN_IN_REQUIRED")


async def test_an_empty_or_missing_secret_file_opens_nothing(
    launch: Callable[..., Any], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    body = ProviderSubscription(None, "a@example.test").event("subscription_created", "active")
    for file, status in ((empty, 401), (tmp_path / "missing", 503)):
        platform = await launch(
            billing=config.BillingSettings(provider="lemonsqueezy", webhook_secret_file=str(file))
        )
        assert (await deliver(platform.nobody, body, signature(body, ""))).status == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 50_000,
        b"{}",
        b'{"meta": {"event_name": "subscription_created"}}',
        b'{"meta": {"event_name": 7}, "data": {"type": "subscriptions", "id": "1", "attributes": {}}}',
        b'{"meta": {"event_name": "a\\u0000b"}, "data": {"type": "orders", "id": "1", "attributes": {}}}',
        b'{"meta": {"event_name": "e"}, "data": {"type": "subscriptions", "id": "1", "attributes": {}}}',
        b'{"meta": {"event_name": "e"}, "data": {"type": "subscriptions", "id": "1",'
        b' "attributes": {"variant_id": 1, "status": "unheard of"}}}',
        b'{"meta": {"event_name": "e"}, "data": {"type": "subscriptions", "id": "1",'
        b' "attributes": {"variant_id": 1, "updated_at": "0001-01-01T00:00:00+14:00"}}}',
    ],
)
async def test_an_unreadable_signed_body_is_400_and_not_recorded(
    billed_platform: Platform, body: bytes
) -> None:
    answer = await deliver(billed_platform.nobody, body)
    assert answer.status == 400 and answer.json["error"], answer.text
    assert await billed_platform.value("SELECT count(*) FROM billing_event") == 0


async def test_the_shortest_form_of_the_contract_is_understood(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform, "a@b.test")
    body = json.dumps({
        "meta": {"event_name": "subscription_created"},
        "data": {"type": "subscriptions", "id": "1", "attributes": {
            "customer_id": 2, "order_id": 2, "variant_id": 102, "user_email": "A@b.test", "status": "active"}},
    }).encode()  # fmt: skip
    assert (await deliver(billed_platform.nobody, body)).json == {"status": "ok"}
    assert await billing_of(person) == ("active", "active", "builder")


async def test_what_is_of_no_interest_is_taken_and_changes_nothing(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    before = await billing_of(person)
    order = {
        "meta": {"event_name": "order_created", "custom_data": {"user_id": str(person.id)}},
        "data": {"type": "orders", "id": "1", "attributes": {"user_email": person.email, "status": "paid",
                 "first_order_item": {"variant_id": 103}}},
    }  # fmt: skip
    licence = {
        "meta": {"event_name": "license_key_created"},
        "data": {"type": "license-keys", "id": 7, "attributes": {}},
    }
    for event in (order, licence):
        assert (await deliver(billed_platform.nobody, json.dumps(event).encode())).json == {"status": "ok"}
    assert await billing_of(person) == before == ("trial", "trial", "pro")
    outcomes = "SELECT count(*) FROM billing_event WHERE outcome = 'of no interest'"
    assert await billed_platform.value(outcomes) == 2


# The members of both objects in the provider's own SDK: lmsqueezy/lemonsqueezy.js, src/subscriptions/types.ts and
# src/subscriptionInvoices/types.ts, looked up on 2026-11-30.
OF_BOTH = {
    "store_id", "customer_id", "user_name", "user_email", "status", "status_formatted", "card_brand",
    "card_last_four", "urls", "created_at", "updated_at", "test_mode",
}  # fmt: skip
OF_SUBSCRIPTIONS = OF_BOTH | {
    "order_id", "order_item_id", "product_id", "variant_id", "product_name", "variant_name", "pause", "cancelled",
    "trial_ends_at", "billing_anchor", "first_subscription_item", "renews_at", "ends_at",
}  # fmt: skip
OF_INVOICES = OF_BOTH | {
    "subscription_id", "billing_reason", "currency", "currency_rate", "refunded", "refunded_at", "tax_inclusive",
    *(f"{of}{unit}" for of in ("subtotal", "discount_total", "tax", "total", "refunded_amount")
      for unit in ("", "_usd", "_formatted")),
}  # fmt: skip


def test_the_double_sends_what_the_providers_sdk_reads() -> None:
    subscription = ProviderSubscription(None, "a@b.test")
    sent = json.loads(subscription.event("subscription_updated", "active"))
    paid = json.loads(subscription.payment("subscription_payment_success", "paid"))
    assert set(sent["data"]["attributes"]) == OF_SUBSCRIPTIONS
    assert set(paid["data"]["attributes"]) == OF_INVOICES


@pytest.mark.parametrize(
    "status",
    ["on_trial", "active", "paused", "pause", "past_due", "unpaid", "cancelled", "expired"],
)
def test_every_status_of_the_providers_sdk_is_read(status: str) -> None:
    event = read_event(ProviderSubscription(None, "a@b.test").event("subscription_updated", status))
    assert event.subscription is not None
    assert event.subscription.status == {"pause": "paused"}.get(status, status)
