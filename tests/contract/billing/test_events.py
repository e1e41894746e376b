"""Events of the payment provider: whose they are, each once, in any order."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from stackyn_server.operations.billing_expiry import BillingExpiry
from tests.contract.billing.customers import a_customer, billing_of, mails
from tests.contract.billing.provider import VARIANTS, ProviderSubscription, deliver, in_days
from tests.contract.conftest import Person, Platform


async def test_the_buyer_is_the_named_user_or_the_owner_of_the_address(billed_platform: Platform) -> None:
    nobody = billed_platform.nobody
    ada, bob = await a_customer(billed_platform), await a_customer(billed_platform, "Bob@example.test")
    await ProviderSubscription(nobody, "paid-by-a-company@example.test", 101, str(ada.id)).tell(
        "subscription_created", "active"
    )
    await ProviderSubscription(nobody, "bOB@EXAMPLE.test", 102, "no-uuid").tell(
        "subscription_created", "active"
    )
    assert await billing_of(ada) == ("active", "active", "starter")
    assert await billing_of(bob) == ("active", "active", "builder")


async def test_an_unproven_address_gets_nothing_until_it_is_proven(billed_platform: Platform) -> None:
    body = {"email": "Owner@example.test", "password": "correct horse battery"}
    stranger = await billed_platform.nobody.post("/api/auth/signup", json=body)
    subscription = ProviderSubscription(billed_platform.nobody, "owner@example.test", 101)
    await subscription.tell("subscription_created", "active")
    them = Person(billed_platform, None, "", stranger.json["token"])
    assert await billing_of(them) == ("trial", "trial", "pro")
    owner = await a_customer(billed_platform, "owner@EXAMPLE.test")
    assert await billing_of(owner) == ("active", "active", "starter")


async def test_a_purchase_before_sign_up_counts_at_sign_up(
    billed_platform: Platform,
) -> None:
    early, late = (
        ProviderSubscription(billed_platform.nobody, "ada@example.test", variant) for variant in (101, 103)
    )
    await early.tell("subscription_created", "active")
    await early.tell("subscription_expired", "expired")
    await late.tell("subscription_created", "active")
    assert await billed_platform.value("SELECT count(*) FROM billing_event WHERE outcome = 'parked'") == 3
    assert await billing_of(await a_customer(billed_platform)) == ("active", "active", "pro")
    assert await mails(billed_platform) == 1  # the code; no word of a trial


async def test_a_repetition_changes_nothing_however_often_and_at_once(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    subscription = ProviderSubscription(billed_platform.nobody, person.email)
    failed = subscription.payment("subscription_payment_failed", "pending")
    await subscription.tell("subscription_created", "active")
    before = await mails(billed_platform)
    answers = await asyncio.gather(*(deliver(billed_platform.nobody, failed) for _ in range(10)))
    assert {answer.text for answer in answers} == {answers[0].text} and answers[0].json == {"status": "ok"}
    assert await mails(billed_platform) == before + 1


async def test_a_replay_of_an_old_event_does_not_bring_back_what_was(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    subscription = ProviderSubscription(billed_platform.nobody, person.email)
    created = subscription.event("subscription_created", "active")
    await deliver(billed_platform.nobody, created)
    await subscription.tell("subscription_expired", "expired")
    assert (await deliver(billed_platform.nobody, created)).json == {"status": "ok"}
    # The same old news in other bytes is no repetition, and is out of date all the same.
    assert (await deliver(billed_platform.nobody, created + b"\n")).json == {"status": "ok"}
    assert await billing_of(person) == ("expired", "expired", "pro")


async def test_every_order_of_delivery_leads_to_the_same_end(billed_platform: Platform) -> None:
    story = [
        ("subscription_created", "active", {}),
        ("subscription_updated", "past_due", {}),
        ("subscription_cancelled", "cancelled", {"ends_at": in_days(9)}),
        ("subscription_resumed", "active", {}),
    ]
    for number, order in enumerate(itertools.permutations(range(4))):
        person = await a_customer(billed_platform, f"ada-{number}@example.test")
        subscription = ProviderSubscription(billed_platform.nobody, person.email, 101)
        for minute in order:
            name, status, attributes = story[minute]
            await subscription.tell(name, status, minute=minute, **attributes)
        assert await billing_of(person) == ("active", "active", "starter"), order


async def test_events_at_the_same_instant_are_applied_one_by_one(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    subscription = ProviderSubscription(billed_platform.nobody, person.email)
    bodies = [subscription.event("subscription_updated", "active") for _ in range(9)]
    bodies.append(subscription.event("subscription_expired", "expired"))
    answers = await asyncio.gather(*(deliver(billed_platform.nobody, body) for body in reversed(bodies)))
    assert {answer.status for answer in answers} == {200}
    assert await billing_of(person) == ("expired", "expired", "pro")


async def test_a_purchase_and_a_first_proof_at_the_same_instant_meet(billed_platform: Platform) -> None:
    for number in range(5):
        email = f"ada-{number}@example.test"
        subscription = ProviderSubscription(billed_platform.nobody, email, 102)
        person, _ = await asyncio.gather(
            a_customer(billed_platform, email), subscription.tell("subscription_created", "active")
        )
        assert await billing_of(person) == ("active", "active", "builder")


async def test_an_unknown_variant_counts_once_it_is_configured(
    billed_platform: Platform, records: list[Any]
) -> None:
    person = await a_customer(billed_platform)
    await ProviderSubscription(billed_platform.nobody, person.email, 999).tell(
        "subscription_created", "active"
    )
    assert await billing_of(person) == ("trial", "trial", "pro")
    assert [record["variant"] for record in records if record["event"] == "billing.variant_unknown"] == [
        "999"
    ]
    billing = billed_platform.settings.billing
    variants = dict(billing.variants)
    assert isinstance(billing.variants, dict)
    billing.variants["999"] = "builder"
    await BillingExpiry(billed_platform.database, billed_platform.billing).settle_all()
    assert await billing_of(person) == ("active", "active", "builder")
    assert variants == VARIANTS
