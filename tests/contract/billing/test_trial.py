"""Trials: how they begin and end, and where nothing is sold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from stackyn_server.operations.billing_expiry import BillingExpiry
from tests.contract.billing.customers import (
    a_customer,
    billing_of,
    desired,
    end_of_trial,
    letters,
    mails,
    settle,
)
from tests.contract.billing.provider import ProviderSubscription
from tests.contract.conftest import Person, Platform
from tests.contract.test_conventions import is_error


async def test_a_new_account_is_on_trial_with_a_mail_and_a_timer(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    profile = (await person.get("/api/user/me")).json
    assert await billing_of(person) == ("trial", "trial", "pro")
    began, ends = (
        datetime.fromisoformat(profile["subscription"][key]) for key in ("trial_started_at", "trial_ends_at")
    )
    assert ends - began == timedelta(days=7)
    assert await mails(billed_platform) == 2  # the code and the trial
    timer = "SELECT run_at FROM job WHERE kind = 'expiry' AND state = 'waiting' AND subject = $1"
    assert await billed_platform.value(timer, str(person.id)) == ends


async def test_the_end_of_a_trial_stops_the_apps_and_closes_what_costs(billed_platform: Platform) -> None:
    person = await a_customer(billed_platform)
    app = await person.new_app()
    before = await mails(billed_platform)
    await end_of_trial(billed_platform, person)
    assert await billing_of(person) == ("expired", "expired", "pro")
    assert await desired(billed_platform, app) == ("stopped", True)
    assert await mails(billed_platform) == before + 1
    for path, body in (
        ("/api/v1/apps", {"name": "b", "repo_url": "https://git.example.test/a/b"}),
        (f"/api/v1/apps/{app}/redeploy", None),
        (f"/api/v1/apps/{app}/env", {"key": "A", "value": "b"}),
    ):
        answer = await person.post(path, json=body)
        assert is_error(answer, 402, "PAYMENT_REQUIRED") and answer.json["billing_status"] == "expired"
    assert (await person.get("/api/apps")).json[0]["status"] == "stopped"
    await settle(billed_platform, person)
    assert await mails(billed_platform) == before + 1
    await ProviderSubscription(billed_platform.nobody, person.email).tell("subscription_created", "active")
    assert await desired(billed_platform, app) == ("running", False)


async def test_trial_mails_name_its_end_and_what_follows(
    billed_platform: Platform,
) -> None:
    person = await a_customer(billed_platform)
    ends = datetime.fromisoformat((await person.get("/api/user/me")).json["subscription"]["trial_ends_at"])
    await end_of_trial(billed_platform, person)
    _, began, ended = await letters(billed_platform)
    assert {began.to, ended.to} == {person.email}
    assert began.subject == "Your Stackyn trial has begun"
    assert ended.subject == "Your Stackyn plan has run out"
    for part in (began.text, began.html):
        assert f"{ends:%d %B %Y, %H:%M} UTC" in part and "plan Pro" in part
    for part in (ended.text, ended.html):
        for words in ("Your apps are stopped", "nothing of them is deleted", "Choose a plan", "start again"):
            assert words in part
        assert "$" not in part


async def test_a_stranger_cannot_use_up_the_trial_of_an_address(billed_platform: Platform) -> None:
    body = {"email": "owner@example.test", "password": "correct horse battery"}
    assert (await billed_platform.nobody.post("/api/auth/signup", json=body)).status == 201
    assert await mails(billed_platform) == 0  # nobody is written to who didn't ask
    past = datetime.now(UTC) - timedelta(days=1)
    await billed_platform.execute("UPDATE account SET trial_ends_at = $1", past)
    owner = await a_customer(billed_platform, "owner@example.test")
    assert await billing_of(owner) == ("trial", "trial", "pro")
    await end_of_trial(billed_platform, owner)
    again = await a_customer(billed_platform, "owner@example.test")
    assert await billing_of(again) == ("expired", "expired", "pro")


async def test_without_a_provider_all_are_active_on_the_default_plan(platform: Platform) -> None:
    signed_up = await platform.nobody.post(
        "/api/auth/signup", json={"email": "a@example.test", "password": "correct horse battery"}
    )
    person = Person(platform, None, "", signed_up.json["token"])
    assert await billing_of(person) == ("active", None, "free")
    assert await platform.value("SELECT count(*) FROM job WHERE kind IN ('expiry', 'mail')") == 0
    admin = await platform.services.accounts.make_admin("admin@example.test", "correct horse battery")
    assert (admin.account.billing_status, admin.account.plan) == ("active", "pro")


async def test_selling_no_more_opens_every_account(
    billed_platform: Platform, launch: Callable[..., Any]
) -> None:
    person = await a_customer(billed_platform)
    app = await person.new_app()
    await end_of_trial(billed_platform, person)
    free = await launch()
    await BillingExpiry(free.database, free.billing).settle_all()
    assert await billing_of(Person(free, person.id, person.email, person.token)) == ("active", None, "pro")
    assert await desired(free, app) == ("running", False)
