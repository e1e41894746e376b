"""A plan by an administrator's word, where plans are sold."""

from __future__ import annotations

from tests.contract.billing.customers import a_customer, billing_of, desired, end_of_trial, settle
from tests.contract.billing.provider import ProviderSubscription
from tests.contract.conftest import Person, Platform


async def give(platform: Platform, person: Person, plan: str) -> None:
    admin = await platform.person(is_admin=True)
    answer = await admin.call("PATCH", f"/admin/users/{person.id}/plan", json={"plan": plan})
    assert (answer.status, answer.json["plan"]) == (200, plan), answer.text
    listed = (await admin.get(f"/admin/users?search={person.email}")).json["users"]
    assert [(user["plan"], user["quota"]["plan_name"]) for user in listed] == [(plan, plan)]


async def test_a_plan_by_an_administrators_word_opens_the_account(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    app = await person.new_app()
    await end_of_trial(billed_platform, person)
    await give(billed_platform, person, "builder")
    assert await billing_of(person) == ("active", "active", "builder")
    assert await desired(billed_platform, app) == ("running", False)
    await settle(billed_platform, person)
    assert await billing_of(person) == ("active", "active", "builder")


async def test_the_word_counts_until_the_subscription_changes(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    subscription = ProviderSubscription(billed_platform.nobody, person.email, 101)
    await subscription.tell("subscription_created", "active")
    await give(billed_platform, person, "pro")
    await subscription.tell("subscription_updated", "active")  # a renewal
    assert await billing_of(person) == ("active", "active", "pro")
    await give(billed_platform, person, "starter")
    await subscription.tell("subscription_updated", "active", variant_id=102)
    assert await billing_of(person) == ("active", "active", "builder")
    await give(billed_platform, person, "free")
    assert await billing_of(person) == ("active", "active", "free")
    await subscription.tell("subscription_expired", "expired")
    assert (await billing_of(person))[:2] == ("expired", "expired")
