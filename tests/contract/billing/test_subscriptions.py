"""What follows from a subscription's events for the account and its apps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.contract.billing.customers import a_customer, billing_of, desired, end_of_trial, mails, settle
from tests.contract.billing.provider import ProviderSubscription, in_days
from tests.contract.conftest import Platform
from tests.contract.test_conventions import is_error


async def test_apps_stop_and_start_with_the_subscription(
    billed_platform: Platform,
) -> None:
    person = await a_customer(billed_platform)
    subscription = ProviderSubscription(billed_platform.nobody, person.email)
    await subscription.tell("subscription_created", "active")
    first, second = await person.new_app(), await person.new_app()
    assert (await person.post(f"/api/v1/apps/{second}/stop")).status == 200
    await subscription.tell("subscription_expired", "expired")
    assert await billing_of(person) == ("expired", "expired", "pro")
    assert (await desired(billed_platform, first), await desired(billed_platform, second)) == (
        ("stopped", True),
        ("stopped", False),
    )
    view = (await person.get(f"/api/v1/apps/{first}")).json
    assert view["status"] == "stopped" and "subscription is over" in view["stop_reason"]
    refused = await person.post(f"/api/v1/apps/{first}/redeploy")
    assert is_error(refused, 402, "PAYMENT_REQUIRED") and refused.json["billing_status"] == "expired"

    await ProviderSubscription(billed_platform.nobody, person.email, 101).tell(
        "subscription_created", "active"
    )
    assert await billing_of(person) == ("active", "active", "starter")
    assert (await desired(billed_platform, first), await desired(billed_platform, second)) == (
        ("running", False),
        ("stopped", False),
    )
    assert (await person.get(f"/api/v1/apps/{first}")).json["status"] == "pending"
    assert (await person.post(f"/api/v1/apps/{first}/redeploy")).status == 201


async def test_an_app_that_its_owner_stopped_stays_stopped(
    billed_platform: Platform,
) -> None:
    person = await a_customer(billed_platform)
    app = await person.new_app()
    await end_of_trial(billed_platform, person)
    assert (await person.post(f"/api/v1/apps/{app}/stop")).json["stop_reason"] is None
    await ProviderSubscription(billed_platform.nobody, person.email).tell("subscription_created", "active")
    assert await desired(billed_platform, app) == ("stopped", False)


async def test_a_cancelled_subscription_is_active_until_it_is_paid_for(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    app = await person.new_app()
    subscription = ProviderSubscription(billed_platform.nobody, person.email)
    await subscription.tell("subscription_created", "active")
    await subscription.tell("subscription_cancelled", "cancelled", ends_at=in_days(3))
    assert await billing_of(person) == ("active", "cancelled", "pro")
    assert (await person.post(f"/api/v1/apps/{app}/redeploy")).status == 201
    timer = "SELECT run_at - now() FROM job WHERE kind = 'expiry' AND state = 'waiting'"
    assert abs(await billed_platform.value(timer) - timedelta(days=3)) < timedelta(minutes=1)

    await subscription.tell("subscription_resumed", "active")
    assert await billing_of(person) == ("active", "active", "pro")
    await subscription.tell("subscription_cancelled", "cancelled", ends_at=in_days(3))
    await billed_platform.execute("UPDATE subscription SET ends_at = now()")
    await settle(billed_platform, person)
    assert await billing_of(person) == ("expired", "expired", "pro")
    assert await desired(billed_platform, app) == ("stopped", True)


@pytest.mark.parametrize(
    ("name", "status", "attributes", "expected"),
    [
        ("subscription_updated", "on_trial", {}, ("active", "active", "pro")),
        ("subscription_updated", "past_due", {}, ("active", "active", "pro")),
        ("subscription_updated", "unpaid", {}, ("expired", "expired", "pro")),
        ("subscription_paused", "paused", {"pause": {"mode": "void"}}, ("expired", "expired", "pro")),
        ("subscription_paused", "paused", {"pause": {"mode": "free"}}, ("active", "active", "pro")),
        ("subscription_updated", "cancelled", {"ends_at": in_days(-1)}, ("expired", "expired", "pro")),
        ("subscription_updated", "active", {"variant_id": 101}, ("active", "active", "starter")),
    ],
)
async def test_each_status_of_the_provider_has_its_meaning(
    billed_platform: Platform, name: str, status: str, attributes: dict[str, Any], expected: Any
) -> None:
    person = await a_customer(billed_platform)
    subscription = ProviderSubscription(billed_platform.nobody, person.email)
    await subscription.tell("subscription_created", "active")
    await subscription.tell(name, status, **attributes)
    assert await billing_of(person) == expected
    await subscription.tell("subscription_unpaused", "active")
    assert await billing_of(person) == ("active", "active", "pro")


async def test_a_failed_payment_is_mailed_and_a_late_one_restarts_apps(
    billed_platform: Platform,
) -> None:
    person = await a_customer(billed_platform)
    app = await person.new_app()
    subscription = ProviderSubscription(billed_platform.nobody, person.email)
    await subscription.tell("subscription_created", "active")
    before = await mails(billed_platform)
    await subscription.tell_payment("subscription_payment_failed", "pending")
    assert await mails(billed_platform) == before + 1
    assert await billing_of(person) == ("active", "active", "pro")
    assert await desired(billed_platform, app) == ("running", False)
    await subscription.tell("subscription_updated", "unpaid")
    assert await desired(billed_platform, app) == ("stopped", True)
    await subscription.tell_payment("subscription_payment_recovered", "paid")
    assert await billing_of(person) == ("active", "active", "pro")
    assert await desired(billed_platform, app) == ("running", False)


async def test_the_end_of_an_old_subscription_does_not_end_a_newer_one(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    old, new = (ProviderSubscription(billed_platform.nobody, person.email, variant) for variant in (101, 102))
    await old.tell("subscription_created", "active")
    await new.tell("subscription_created", "active")
    await old.tell("subscription_expired", "expired")
    assert await billing_of(person) == ("active", "active", "builder")
