"""What costs, asked for at the very moment when the time that is paid for ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from stackyn_server.store import accounts
from stackyn_server.store.database import Connection
from tests.contract.billing.customers import a_customer, billing_of, desired
from tests.contract.billing.provider import ProviderSubscription
from tests.contract.conftest import REPOSITORY, Answer, Person, Platform
from tests.contract.test_conventions import is_error
from tests.patience import within

ROUNDS = 5

WAITS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def create(person: Person, name: str = "late") -> Answer:
    return await person.post("/api/v1/apps", json={"name": name, "repo_url": REPOSITORY})


async def redeploy(person: Person) -> Answer:
    app = (await person.get("/api/apps")).json[0]["id"]
    return await person.post(f"/api/v1/apps/{app}/redeploy")


async def end_trial(platform: Platform, connection: Connection, person: Person) -> None:
    """End the trial as its timer does, in the caller's transaction."""
    assert person.id is not None
    account = await accounts.lock(connection, person.id)
    assert account is not None and account.trial_ends_at is not None
    await platform.billing.settle(connection, account, account.trial_ends_at)


async def trial_ends(platform: Platform, person: Person) -> None:
    async with platform.database.transaction() as connection:
        await end_trial(platform, connection, person)


async def no_payment_comes(platform: Platform, person: Person) -> None:
    subscription = ProviderSubscription(platform.nobody, person.email)
    await subscription.tell("subscription_created", "active")
    await subscription.tell("subscription_updated", "unpaid")


@pytest.mark.parametrize("ask", [create, redeploy])
async def test_who_asks_while_the_trial_is_ending_is_asked_to_pay(
    billed_platform: Platform, ask: Callable[[Person], Awaitable[Answer]]
) -> None:
    person = await a_customer(billed_platform)
    app = await person.new_app()
    async with billed_platform.database.transaction() as connection:
        await end_trial(billed_platform, connection, person)
        asking = asyncio.create_task(ask(person))
        async with within(10):
            while not await billed_platform.value(WAITS):
                assert not asking.done(), "it was answered while its account was still being decided on"
                await asyncio.sleep(0.01)  # between two looks
    answer = await asking
    assert is_error(answer, 402, "PAYMENT_REQUIRED") and answer.json["billing_status"] == "expired"
    assert len((await person.get("/api/apps")).json) == 1
    assert await desired(billed_platform, app) == ("stopped", True)


@pytest.mark.parametrize("end", [trial_ends, no_payment_comes])
async def test_an_app_created_during_expiry_is_refused_or_stopped(
    billed_platform: Platform, end: Callable[[Platform, Person], Awaitable[None]]
) -> None:
    for number in range(ROUNDS):
        person = await a_customer(billed_platform, f"ada-{number}@example.test")
        await person.new_app()
        first, _, second = await asyncio.gather(
            create(person, "one"), end(billed_platform, person), create(person, "two")
        )
        created = [answer.status for answer in (first, second)]
        assert set(created) <= {201, 402}
        assert (await billing_of(person))[0] == "expired"
        apps = (await person.get("/api/apps")).json
        assert len(apps) == 1 + created.count(201)
        assert {app["status"] for app in apps} == {"stopped"}
