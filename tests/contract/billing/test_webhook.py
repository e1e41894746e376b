"""What the payment provider may send: signed, readable, and of interest, or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config
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
