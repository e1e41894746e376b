"""Section 4 of the contract, where plans are sold: events of the provider, trials, and what follows for the apps."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from stackyn_server import config
from stackyn_server.config import ConfigInvalid
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.store import accounts
from tests.contract.billing_provider import SECRET, VARIANTS, Shop, deliver, in_days, signature
from tests.contract.conftest import Person, Platform
from tests.contract.test_conventions import is_error

SOLD = {"provider": "lemonsqueezy", "variants": VARIANTS}


@pytest.fixture
async def shop_platform(launch: Callable[..., Any], tmp_path: Path) -> Platform:
    """The API where plans are sold."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    platform: Platform = await launch(
        billing=config.Billing(**SOLD, webhook_secret_file=str(secret)),  # type: ignore[arg-type]
        auth=config.Auth(development_codes=True, code_cooldown_seconds=0.001),
    )
    return platform


async def a_customer(platform: Platform, email: str = "ada@example.test") -> Person:
    """Somebody who signed up by a code, and is on trial."""
    sent = await platform.nobody.post("/api/auth/send-otp", json={"email": email})
    body = {"email": email, "otp": sent.json["otp"]}
    signed_in = (await platform.nobody.post("/api/auth/verify-otp", json=body)).json
    return Person(platform, UserId(UUID(signed_in["user"]["id"])), email, signed_in["token"])


async def standing(person: Person) -> tuple[str, str | None, str]:
    """Billing status, subscription status and enforced plan, as the profile shows them."""
    profile = (await person.get("/api/user/me")).json
    subscription = profile.get("subscription")
    plan = profile["quota"]["plan"]
    assert profile["plan"] == profile["quota"]["plan_name"] == plan["name"]
    if subscription is not None:
        assert set(subscription) - {"trial_started_at", "trial_ends_at"} == {
            "status", "plan", "ram_limit_mb", "disk_limit_gb",
        }  # fmt: skip
        assert subscription["plan"] == profile["plan"]
        assert subscription["ram_limit_mb"] == plan["max_ram_mb"]
        assert subscription["disk_limit_gb"] * 1024 == plan["max_disk_mb"]
        agreed = {"cancelled": "active"}.get(subscription["status"], subscription["status"])
        assert profile["billing_status"] == agreed
    return profile["billing_status"], subscription and subscription["status"], profile["plan"]


async def mails(platform: Platform) -> int:
    return int(await platform.value("SELECT count(*) FROM job WHERE kind = 'mail'"))


async def end_of_trial(platform: Platform, person: Person) -> None:
    """Let the trial end now, as the alarm of its end does."""
    now = datetime.now(UTC)
    await platform.execute("UPDATE account SET trial_ends_at = $2 WHERE id = $1", person.id, now)
    await settle(platform, person)


async def settle(platform: Platform, person: Person) -> None:
    assert person.id is not None
    async with platform.database.transaction() as connection:
        account = await accounts.lock(connection, person.id)
        assert account is not None
        await platform.billing.settle(connection, account)


async def desired(platform: Platform, app: AppId) -> tuple[str, bool]:
    row = await platform.value("SELECT desired || ' ' || stopped_by_billing FROM app WHERE id = $1", app)
    wish, by_billing = row.split()
    return wish, by_billing == "true"


# Signature and form ---------------------------------------------------------------------------------------------


async def test_only_the_right_signature_of_the_raw_body_is_taken(shop_platform: Platform) -> None:
    nobody = shop_platform.nobody
    body = Shop(nobody, "a@example.test").event("subscription_created", "active")
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
    assert await shop_platform.value("SELECT count(*) FROM billing_event") == 0
    for accepted in (right, f"sha256={right}"):
        assert (await deliver(nobody, body, accepted)).json == {"status": "ok"}


@pytest.mark.parametrize("given", [{}, {"webhook_secret_file": ""}, {"provider": "none"}])
async def test_without_a_secret_everything_is_refused(
    launch: Callable[..., Any], given: dict[str, Any]
) -> None:
    platform = await launch(billing=config.Billing(**{"provider": "lemonsqueezy", **given}))
    body = Shop(platform.nobody, "a@example.test").event("subscription_created", "active")
    for signed in (signature(body), signature(body, "")):
        assert is_error(await deliver(platform.nobody, body, signed), 401, "SIGN_IN_REQUIRED")


async def test_an_empty_or_missing_secret_file_opens_nothing(
    launch: Callable[..., Any], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    body = Shop(None, "a@example.test").event("subscription_created", "active")
    for file, status in ((empty, 401), (tmp_path / "missing", 503)):
        platform = await launch(
            billing=config.Billing(provider="lemonsqueezy", webhook_secret_file=str(file))
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
async def test_a_signed_body_that_cannot_be_read_is_400_and_leaves_nothing(
    shop_platform: Platform, body: bytes
) -> None:
    answer = await deliver(shop_platform.nobody, body)
    assert answer.status == 400 and answer.json["error"], answer.text
    assert await shop_platform.value("SELECT count(*) FROM billing_event") == 0


async def test_the_shortest_form_of_the_contract_is_understood(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform, "a@b.test")
    body = json.dumps({
        "meta": {"event_name": "subscription_created"},
        "data": {"type": "subscriptions", "id": "1", "attributes": {
            "customer_id": 2, "order_id": 2, "variant_id": 102, "user_email": "A@b.test", "status": "active"}},
    }).encode()  # fmt: skip
    assert (await deliver(shop_platform.nobody, body)).json == {"status": "ok"}
    assert await standing(person) == ("active", "active", "builder")


async def test_what_is_of_no_interest_is_taken_and_changes_nothing(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    before = await standing(person)
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
        assert (await deliver(shop_platform.nobody, json.dumps(event).encode())).json == {"status": "ok"}
    assert await standing(person) == before == ("trial", "trial", "pro")
    outcomes = "SELECT count(*) FROM billing_event WHERE outcome = 'of no interest'"
    assert await shop_platform.value(outcomes) == 2


# Whose, once, in any order --------------------------------------------------------------------------------------


async def test_the_buyer_is_the_named_user_or_the_owner_of_the_address(shop_platform: Platform) -> None:
    nobody = shop_platform.nobody
    ada, bob = await a_customer(shop_platform), await a_customer(shop_platform, "Bob@example.test")
    await Shop(nobody, "paid-by-a-company@example.test", 101, str(ada.id)).tell(
        "subscription_created", "active"
    )
    await Shop(nobody, "bOB@EXAMPLE.test", 102, "no-uuid").tell("subscription_created", "active")
    assert await standing(ada) == ("active", "active", "starter")
    assert await standing(bob) == ("active", "active", "builder")


async def test_an_unproven_address_gets_nothing_until_it_is_proven(shop_platform: Platform) -> None:
    body = {"email": "Owner@example.test", "password": "correct horse battery"}
    stranger = await shop_platform.nobody.post("/api/auth/signup", json=body)
    shop = Shop(shop_platform.nobody, "owner@example.test", 101)
    await shop.tell("subscription_created", "active")
    them = Person(shop_platform, None, "", stranger.json["token"])
    assert await standing(them) == ("trial", "trial", "pro")
    owner = await a_customer(shop_platform, "owner@EXAMPLE.test")
    assert await standing(owner) == ("active", "active", "starter")


async def test_what_was_bought_before_signing_up_counts_from_the_first_moment(
    shop_platform: Platform,
) -> None:
    early, late = (Shop(shop_platform.nobody, "ada@example.test", variant) for variant in (101, 103))
    await early.tell("subscription_created", "active")
    await early.tell("subscription_expired", "expired")
    await late.tell("subscription_created", "active")
    assert await shop_platform.value("SELECT count(*) FROM billing_event WHERE outcome = 'parked'") == 3
    assert await standing(await a_customer(shop_platform)) == ("active", "active", "pro")
    assert await mails(shop_platform) == 1  # the code; no word of a trial


async def test_a_repetition_changes_nothing_however_often_and_at_once(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    shop = Shop(shop_platform.nobody, person.email)
    failed = shop.payment("subscription_payment_failed", "pending")
    await shop.tell("subscription_created", "active")
    before = await mails(shop_platform)
    answers = await asyncio.gather(*(deliver(shop_platform.nobody, failed) for _ in range(10)))
    assert {answer.text for answer in answers} == {answers[0].text} and answers[0].json == {"status": "ok"}
    assert await mails(shop_platform) == before + 1


async def test_a_replay_of_an_old_event_does_not_bring_back_what_was(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    shop = Shop(shop_platform.nobody, person.email)
    created = shop.event("subscription_created", "active")
    await deliver(shop_platform.nobody, created)
    await shop.tell("subscription_expired", "expired")
    assert (await deliver(shop_platform.nobody, created)).json == {"status": "ok"}
    # The same old news in other bytes is no repetition, and is out of date all the same.
    assert (await deliver(shop_platform.nobody, created + b"\n")).json == {"status": "ok"}
    assert await standing(person) == ("expired", "expired", "pro")


async def test_every_order_of_delivery_leads_to_the_same_end(shop_platform: Platform) -> None:
    story = [
        ("subscription_created", "active", {}),
        ("subscription_updated", "past_due", {}),
        ("subscription_cancelled", "cancelled", {"ends_at": in_days(9)}),
        ("subscription_resumed", "active", {}),
    ]
    for number, order in enumerate(itertools.permutations(range(4))):
        person = await a_customer(shop_platform, f"ada-{number}@example.test")
        shop = Shop(shop_platform.nobody, person.email, 101)
        for minute in order:
            name, status, attributes = story[minute]
            await shop.tell(name, status, minute=minute, **attributes)
        assert await standing(person) == ("active", "active", "starter"), order


async def test_events_at_the_same_instant_are_applied_one_by_one(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    shop = Shop(shop_platform.nobody, person.email)
    bodies = [shop.event("subscription_updated", "active") for _ in range(9)]
    bodies.append(shop.event("subscription_expired", "expired"))
    answers = await asyncio.gather(*(deliver(shop_platform.nobody, body) for body in reversed(bodies)))
    assert {answer.status for answer in answers} == {200}
    assert await standing(person) == ("expired", "expired", "pro")


async def test_a_purchase_and_a_first_proof_at_the_same_instant_meet(shop_platform: Platform) -> None:
    for number in range(5):
        email = f"ada-{number}@example.test"
        shop = Shop(shop_platform.nobody, email, 102)
        person, _ = await asyncio.gather(
            a_customer(shop_platform, email), shop.tell("subscription_created", "active")
        )
        assert await standing(person) == ("active", "active", "builder")


async def test_an_unknown_variant_gives_nothing_until_the_configuration_knows_it(
    shop_platform: Platform, records: list[Any]
) -> None:
    person = await a_customer(shop_platform)
    await Shop(shop_platform.nobody, person.email, 999).tell("subscription_created", "active")
    assert await standing(person) == ("trial", "trial", "pro")
    assert [record["variant"] for record in records if record["event"] == "billing.variant_unknown"] == [
        "999"
    ]
    billing = shop_platform.settings.billing
    variants = dict(billing.variants)
    assert isinstance(billing.variants, dict)
    billing.variants["999"] = "builder"
    await shop_platform.billing.settle_all(None)  # type: ignore[arg-type]
    assert await standing(person) == ("active", "active", "builder")
    assert variants == VARIANTS


# What it does ---------------------------------------------------------------------------------------------------


async def test_apps_stop_with_the_subscription_and_the_same_ones_start_again_with_the_next(
    shop_platform: Platform,
) -> None:
    person = await a_customer(shop_platform)
    shop = Shop(shop_platform.nobody, person.email)
    await shop.tell("subscription_created", "active")
    first, second = await person.new_app(), await person.new_app()
    assert (await person.post(f"/api/v1/apps/{second}/stop")).status == 200
    await shop.tell("subscription_expired", "expired")
    assert await standing(person) == ("expired", "expired", "pro")
    assert (await desired(shop_platform, first), await desired(shop_platform, second)) == (
        ("stopped", True),
        ("stopped", False),
    )
    view = (await person.get(f"/api/v1/apps/{first}")).json
    assert view["status"] == "stopped" and "subscription is over" in view["stop_reason"]
    refused = await person.post(f"/api/v1/apps/{first}/redeploy")
    assert is_error(refused, 402, "PAYMENT_REQUIRED") and refused.json["billing_status"] == "expired"

    await Shop(shop_platform.nobody, person.email, 101).tell("subscription_created", "active")
    assert await standing(person) == ("active", "active", "starter")
    assert (await desired(shop_platform, first), await desired(shop_platform, second)) == (
        ("running", False),
        ("stopped", False),
    )
    assert (await person.get(f"/api/v1/apps/{first}")).json["status"] == "pending"
    assert (await person.post(f"/api/v1/apps/{first}/redeploy")).status == 201


async def test_an_app_that_its_owner_stops_while_nothing_is_paid_stays_stopped(
    shop_platform: Platform,
) -> None:
    person = await a_customer(shop_platform)
    app = await person.new_app()
    await end_of_trial(shop_platform, person)
    assert (await person.post(f"/api/v1/apps/{app}/stop")).json["stop_reason"] is None
    await Shop(shop_platform.nobody, person.email).tell("subscription_created", "active")
    assert await desired(shop_platform, app) == ("stopped", False)


async def test_a_cancelled_subscription_is_active_until_it_is_paid_for(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    app = await person.new_app()
    shop = Shop(shop_platform.nobody, person.email)
    await shop.tell("subscription_created", "active")
    await shop.tell("subscription_cancelled", "cancelled", ends_at=in_days(3))
    assert await standing(person) == ("active", "cancelled", "pro")
    assert (await person.post(f"/api/v1/apps/{app}/redeploy")).status == 201
    alarm = "SELECT run_at - now() FROM job WHERE kind = 'expiry' AND state = 'waiting'"
    assert abs(await shop_platform.value(alarm) - timedelta(days=3)) < timedelta(minutes=1)

    await shop.tell("subscription_resumed", "active")
    assert await standing(person) == ("active", "active", "pro")
    await shop.tell("subscription_cancelled", "cancelled", ends_at=in_days(3))
    await shop_platform.execute("UPDATE subscription SET ends_at = now()")
    await settle(shop_platform, person)
    assert await standing(person) == ("expired", "expired", "pro")
    assert await desired(shop_platform, app) == ("stopped", True)


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
    shop_platform: Platform, name: str, status: str, attributes: dict[str, Any], expected: Any
) -> None:
    person = await a_customer(shop_platform)
    shop = Shop(shop_platform.nobody, person.email)
    await shop.tell("subscription_created", "active")
    await shop.tell(name, status, **attributes)
    assert await standing(person) == expected
    await shop.tell("subscription_unpaused", "active")
    assert await standing(person) == ("active", "active", "pro")


async def test_a_failed_payment_is_told_and_stops_nothing_and_a_late_one_starts_again(
    shop_platform: Platform,
) -> None:
    person = await a_customer(shop_platform)
    app = await person.new_app()
    shop = Shop(shop_platform.nobody, person.email)
    await shop.tell("subscription_created", "active")
    before = await mails(shop_platform)
    await shop.tell_payment("subscription_payment_failed", "pending")
    assert await mails(shop_platform) == before + 1
    assert await standing(person) == ("active", "active", "pro")
    assert await desired(shop_platform, app) == ("running", False)
    await shop.tell("subscription_updated", "unpaid")
    assert await desired(shop_platform, app) == ("stopped", True)
    await shop.tell_payment("subscription_payment_recovered", "paid")
    assert await standing(person) == ("active", "active", "pro")
    assert await desired(shop_platform, app) == ("running", False)


async def test_the_end_of_an_old_subscription_does_not_end_a_newer_one(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    old, new = Shop(shop_platform.nobody, person.email, 101), Shop(shop_platform.nobody, person.email, 102)
    await old.tell("subscription_created", "active")
    await new.tell("subscription_created", "active")
    await old.tell("subscription_expired", "expired")
    assert await standing(person) == ("active", "active", "builder")


# Trials ---------------------------------------------------------------------------------------------------------


async def test_a_new_account_is_on_trial_with_a_mail_and_an_alarm(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    profile = (await person.get("/api/user/me")).json
    assert await standing(person) == ("trial", "trial", "pro")
    began, ends = (
        datetime.fromisoformat(profile["subscription"][key]) for key in ("trial_started_at", "trial_ends_at")
    )
    assert ends - began == timedelta(days=7)
    assert await mails(shop_platform) == 2  # the code and the trial
    alarm = "SELECT run_at FROM job WHERE kind = 'expiry' AND state = 'waiting' AND subject = $1"
    assert await shop_platform.value(alarm, str(person.id)) == ends


async def test_the_end_of_a_trial_stops_the_apps_and_closes_what_costs(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    app = await person.new_app()
    before = await mails(shop_platform)
    await end_of_trial(shop_platform, person)
    assert await standing(person) == ("expired", "expired", "pro")
    assert await desired(shop_platform, app) == ("stopped", True)
    assert await mails(shop_platform) == before + 1
    for path, body in (
        ("/api/v1/apps", {"name": "b", "repo_url": "https://git.example.test/a/b"}),
        (f"/api/v1/apps/{app}/redeploy", None),
        (f"/api/v1/apps/{app}/env", {"key": "A", "value": "b"}),
    ):
        answer = await person.post(path, json=body)
        assert is_error(answer, 402, "PAYMENT_REQUIRED") and answer.json["billing_status"] == "expired"
    assert (await person.get("/api/apps")).json[0]["status"] == "stopped"
    await settle(shop_platform, person)
    assert await mails(shop_platform) == before + 1
    await Shop(shop_platform.nobody, person.email).tell("subscription_created", "active")
    assert await desired(shop_platform, app) == ("running", False)


async def test_a_stranger_cannot_use_up_the_trial_of_an_address(shop_platform: Platform) -> None:
    body = {"email": "owner@example.test", "password": "correct horse battery"}
    assert (await shop_platform.nobody.post("/api/auth/signup", json=body)).status == 201
    assert await mails(shop_platform) == 0  # nobody is written to who didn't ask
    past = datetime.now(UTC) - timedelta(days=1)
    await shop_platform.execute("UPDATE account SET trial_ends_at = $1", past)
    owner = await a_customer(shop_platform, "owner@example.test")
    assert await standing(owner) == ("trial", "trial", "pro")
    await end_of_trial(shop_platform, owner)
    again = await a_customer(shop_platform, "owner@example.test")
    assert await standing(again) == ("expired", "expired", "pro")


async def test_where_nobody_pays_everybody_is_active_on_the_default_plan(platform: Platform) -> None:
    signed_up = await platform.nobody.post(
        "/api/auth/signup", json={"email": "a@example.test", "password": "correct horse battery"}
    )
    person = Person(platform, None, "", signed_up.json["token"])
    assert await standing(person) == ("active", None, "free")
    assert await platform.value("SELECT count(*) FROM job WHERE kind IN ('expiry', 'mail')") == 0
    admin = await platform.services.accounts.make_admin("admin@example.test", "correct horse battery")
    assert (admin.account.billing_status, admin.account.plan) == ("active", "pro")


async def test_selling_no_more_opens_every_account(
    shop_platform: Platform, launch: Callable[..., Any]
) -> None:
    person = await a_customer(shop_platform)
    app = await person.new_app()
    await end_of_trial(shop_platform, person)
    free = await launch()
    await free.billing.settle_all(None)
    assert await standing(Person(free, person.id, person.email, person.token)) == ("active", None, "pro")
    assert await desired(free, app) == ("running", False)


# The administrator's word ---------------------------------------------------------------------------------------


async def give(platform: Platform, person: Person, plan: str) -> None:
    admin = await platform.person(is_admin=True)
    answer = await admin.call("PATCH", f"/admin/users/{person.id}/plan", json={"plan": plan})
    assert (answer.status, answer.json["plan"]) == (200, plan), answer.text
    listed = (await admin.get(f"/admin/users?search={person.email}")).json["users"]
    assert [(user["plan"], user["quota"]["plan_name"]) for user in listed] == [(plan, plan)]


async def test_a_plan_by_an_administrators_word_opens_the_account(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    app = await person.new_app()
    await end_of_trial(shop_platform, person)
    await give(shop_platform, person, "builder")
    assert await standing(person) == ("active", "active", "builder")
    assert await desired(shop_platform, app) == ("running", False)
    await settle(shop_platform, person)
    assert await standing(person) == ("active", "active", "builder")


async def test_the_word_counts_until_the_subscription_changes(shop_platform: Platform) -> None:
    person = await a_customer(shop_platform)
    shop = Shop(shop_platform.nobody, person.email, 101)
    await shop.tell("subscription_created", "active")
    await give(shop_platform, person, "pro")
    await shop.tell("subscription_updated", "active")  # a renewal
    assert await standing(person) == ("active", "active", "pro")
    await give(shop_platform, person, "starter")
    await shop.tell("subscription_updated", "active", variant_id=102)
    assert await standing(person) == ("active", "active", "builder")
    await give(shop_platform, person, "free")
    assert await standing(person) == ("active", "active", "free")
    await shop.tell("subscription_expired", "expired")
    assert (await standing(person))[:2] == ("expired", "expired")


# The development endpoint ---------------------------------------------------------------------------------------


async def test_a_developer_walks_through_every_status(launch: Callable[..., Any]) -> None:
    platform = await launch(billing=config.Billing(test_endpoint=True))
    person = await platform.person(plan="free")
    app = await person.new_app()
    for body, expected, wish in [
        ({"billing_status": "trial", "plan": "free_trial"}, ("trial", "trial", "pro"), ("running", False)),
        ({"trial_ends_at": "2020-01-01T00:00:00Z"}, ("expired", "expired", "pro"), ("stopped", True)),
        ({"billing_status": "active", "plan": "starter"}, ("active", "active", "starter"), ("running", False)),
        ({"billing_status": "expired"}, ("expired", "expired", "starter"), ("stopped", True)),
        ({"plan": "pro"}, ("expired", "expired", "pro"), ("stopped", True)),
        ({"billing_status": "trial", "trial_ends_at": "2099-01-01T00:00:00+02:00"}, ("trial", "trial", "pro"),
         ("running", False)),
        ({"billing_status": "active"}, ("active", "active", "pro"), ("running", False)),
    ]:  # fmt: skip
        answer = await person.post("/api/v1/test/billing", json=body)
        assert answer.status == 200, answer.text
        assert set(answer.json) == {
            "message",
            "user_id",
            "billing_status",
            "plan",
            "trial_ends_at",
            "warning",
        }
        assert (answer.json["billing_status"], answer.json["plan"]) == (expected[0], expected[2])
        assert await standing(person) == expected, body
        assert await desired(platform, app) == wish, body


@pytest.mark.parametrize(
    "body",
    [{"billing_status": "cancelled"}, {"plan": "gold"}, {"trial_ends_at": "tomorrow"}, {"trial_ends_at": 7},
     {"trial_ends_at": "0001-01-01T00:00:00+14:00"}, {"trial_ends_at": "2030-01-01T00:00:00"}, {"plan": "a\0"}],
)  # fmt: skip
async def test_a_developer_is_told_what_is_wrong(launch: Callable[..., Any], body: dict[str, Any]) -> None:
    platform = await launch(billing=config.Billing(test_endpoint=True))
    answer = await (await platform.person()).post("/api/v1/test/billing", json=body)
    assert is_error(answer, 400, "INVALID_REQUEST")


async def test_the_development_endpoint_is_off_unless_it_is_switched_on(platform: Platform) -> None:
    person = await platform.person(plan="free")
    answer = await person.post("/api/v1/test/billing", json={"billing_status": "active", "plan": "pro"})
    assert is_error(answer, 404, "NOT_FOUND")
    assert await standing(person) == ("active", None, "free")


def test_the_development_endpoint_is_refused_on_a_public_server(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[public]\nbase_domain = "example.com"\n[billing]\ntest_endpoint = true\n')
    with pytest.raises(ConfigInvalid, match="test_endpoint is refused"):
        config.load(file, {})
