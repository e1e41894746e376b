"""Section 2 of the contract: sign-in by password, sessions, profile."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import bcrypt
import jwt
import pytest

from stackyn_server import config
from stackyn_server.security.tokens import Tokens, legacy_session
from stackyn_server.services.sessions import Sessions
from tests.contract.conftest import KEYS, PASSWORD, Answer, Person, Platform
from tests.contract.test_conventions import is_error

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
HOUR = timedelta(hours=1)


async def log_in(platform: Platform, email: str, password: str) -> Answer:
    return await platform.nobody.post("/api/auth/login", json={"email": email, "password": password})


def token_of(person: Person, **changes: Any) -> str:
    """Spell a token like those of the server, with changed or (None) missing claims."""
    now = datetime.now(UTC)
    claims = {"user_id": str(person.id), "email": person.email, "iat": now, "nbf": now, "exp": now + HOUR,
              "jti": str(uuid4()), **changes}  # fmt: skip
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, KEYS.signing, algorithm="HS256")


async def test_login_answers_a_token_and_the_user(platform: Platform) -> None:
    person = await platform.person(full_name="Ada", company_name="")
    answer = await log_in(platform, f" {person.email.upper()} ", PASSWORD)
    assert answer.status == 200
    assert answer.json["user"] == {
        "id": str(person.id),
        "email": person.email,
        "full_name": "Ada",
        "company_name": "",
        "email_verified": True,
        "is_admin": False,
        "plan": "pro",
        "billing_status": "active",
    }
    claims = jwt.decode(answer.json["token"], KEYS.signing, algorithms=["HS256"])
    assert set(claims) == {"user_id", "email", "iat", "nbf", "exp", "jti"}
    assert claims["exp"] - claims["iat"] == 24 * 3600
    again = Person(platform, person.id, person.email, answer.json["token"])
    assert (await again.get("/api/user/me")).json["email"] == person.email


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a@b.test"},
        {"password": "x"},
        {"email": "", "password": "x"},
        {"email": "a@b.test", "password": ""},
    ],
)
async def test_login_without_one_of_both_is_400(platform: Platform, body: dict[str, str]) -> None:
    assert is_error(await platform.nobody.post("/api/auth/login", json=body), 400, "INVALID_REQUEST")


async def test_a_refused_login_tells_nothing_about_the_account(platform: Platform) -> None:
    person = await platform.person()
    without = await platform.person(password=None)
    imported = await platform.person(password=None)
    hashed = bcrypt.hashpw(b"legacy password", bcrypt.gensalt(10)).decode()
    await platform.execute("UPDATE account SET password_hash = $2 WHERE id = $1", imported.id, hashed)
    cases = {"unknown": "nobody@example.test", "wrong": person.email, "passwordless": without.email,
             "imported": imported.email}  # fmt: skip
    answers = [await log_in(platform, email, "not the password") for email in cases.values()]
    assert all(is_error(answer, 401, "SIGN_IN_REQUIRED") for answer in answers)
    assert {answer.json["error"] for answer in answers} == {"Invalid email or password"}


async def test_an_imported_password_works_and_is_upgraded(platform: Platform) -> None:
    person = await platform.person(password=None)
    hashed = bcrypt.hashpw(b"legacy password", bcrypt.gensalt(10, prefix=b"2a")).decode()
    await platform.execute("UPDATE account SET password_hash = $2 WHERE id = $1", person.id, hashed)
    assert (await log_in(platform, person.email, "legacy password")).status == 200
    stored = await platform.value("SELECT password_hash FROM account WHERE id = $1", person.id)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await log_in(platform, person.email, "legacy password")).status == 200


@pytest.mark.parametrize("password", ["", " ", "x" * 100])
async def test_an_imported_hash_of_nothing_is_no_password(platform: Platform, password: str) -> None:
    person = await platform.person(password=None)
    hashed = bcrypt.hashpw(b"", bcrypt.gensalt(4)).decode()
    await platform.execute("UPDATE account SET password_hash = $2 WHERE id = $1", person.id, hashed)
    assert (await log_in(platform, person.email, password)).status in (400, 401)


async def test_the_profile_shows_the_enforced_figures(platform: Platform) -> None:
    person = await platform.person(plan="builder")
    await person.new_app(memory_mb=512, disk_mb=2048)
    await person.new_app()
    profile = (await person.get("/api/user/me")).json
    assert profile["quota"]["plan_name"] == profile["plan"] == "builder"
    assert (profile["quota"]["app_count"], profile["quota"]["total_ram_mb"], profile["quota"]["total_disk_mb"]) == (
        2, 768, 3072,
    )  # fmt: skip
    assert profile["quota"]["plan"] == {
        "name": "builder", "display_name": "Builder", "price": 2900, "max_ram_mb": 1024, "max_disk_mb": 10240,
        "max_cpu": 4, "max_apps": 3, "always_on": True, "auto_deploy": True, "health_checks": True, "logs": True,
        "zero_downtime": False, "workers": False, "priority_builds": False, "manual_deploy_only": False,
    }  # fmt: skip
    assert TIME.fullmatch(profile["created_at"]) and TIME.fullmatch(profile["updated_at"])
    assert (profile["billing_status"], profile["is_admin"]) == ("active", False)
    assert "subscription" not in profile


async def test_a_profile_keeps_what_is_not_sent(platform: Platform) -> None:
    person = await platform.person(full_name="Ada", company_name="Engines")
    changed = await person.post("/api/auth/update-profile", json={"company_name": ""})
    assert (changed.json["full_name"], changed.json["company_name"]) == ("Ada", "")
    changed = await person.post("/api/auth/update-profile", json={"full_name": "Ada L.", "password": ""})
    assert (changed.json["full_name"], changed.json["company_name"]) == ("Ada L.", "")
    assert (await person.post("/api/auth/update-profile", json={})).json == changed.json
    assert (await log_in(platform, person.email, PASSWORD)).status == 200


@pytest.mark.parametrize("password", ["seven77", "x" * 129])
async def test_a_password_that_is_set_has_8_to_128_characters(platform: Platform, password: str) -> None:
    person = await platform.person()
    answer = await person.post("/api/auth/update-profile", json={"password": password, "full_name": "No"})
    assert is_error(answer, 400, "INVALID_REQUEST")
    assert (await person.get("/api/user/me")).json["full_name"] is None


async def test_a_new_password_ends_all_other_sessions(platform: Platform) -> None:
    person = await platform.person()
    other_session = Person(platform, token=(await log_in(platform, person.email, PASSWORD)).json["token"])
    answer = await person.post("/api/auth/update-profile", json={"password": "another password"})
    assert answer.status == 200
    assert (await person.get("/api/user/me")).status == 200
    assert is_error(await other_session.get("/api/user/me"), 401, "SESSION_ENDED")
    assert (await log_in(platform, person.email, PASSWORD)).status == 401
    assert (await log_in(platform, person.email, "another password")).status == 200


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer \tx", "Token x", "Bearer " + "x" * 4000],
)
async def test_without_a_readable_token_it_is_401(platform: Platform, header: str) -> None:
    answer = await platform.nobody.get("/api/user/me", headers={"Authorization": header})
    assert is_error(answer, 401, "SIGN_IN_REQUIRED")


async def test_a_token_needs_signature_claims_and_session(platform: Platform) -> None:
    person = await platform.person()
    now = datetime.now(UTC)
    refused = {
        "no session": token_of(person),
        "over": token_of(person, exp=now - HOUR),
        "not yet": token_of(person, nbf=now + HOUR),
        "no exp": token_of(person, exp=None),
        "no jti": token_of(person, jti=None),
        "jti no id": token_of(person, jti="first"),
        "user no id": token_of(person, user_id="1; DROP TABLE"),
        "other secret": jwt.encode({"user_id": str(person.id)}, "x" * 32, algorithm="HS256"),
        "none": jwt.encode({"user_id": str(person.id), "exp": now + HOUR}, None, algorithm="none"),
    }
    for name, token in refused.items():
        answer = await Person(platform, token=token).get("/api/user/me")
        assert answer.status == 401, name


async def test_the_session_of_somebody_else_does_not_fit(platform: Platform) -> None:
    person, stranger = await platform.person(), await platform.person()
    session = await platform.value("SELECT id FROM session WHERE account = $1", stranger.id)
    assert (
        await Person(platform, token=token_of(person, jti=str(session))).get("/api/user/me")
    ).status == 401


async def test_a_deleted_account_has_no_session(platform: Platform) -> None:
    person = await platform.person()
    await platform.execute("UPDATE account SET deleted_at = now() WHERE id = $1", person.id)
    assert is_error(await person.get("/api/user/me"), 401, "SESSION_ENDED")
    assert (await log_in(platform, person.email, PASSWORD)).status == 401


async def test_an_imported_token_without_jti_lasts_until_its_session(platform: Platform) -> None:
    person = await platform.person()
    legacy = b"legacy secret of at least 32 bytes"
    tokens = Tokens(KEYS.signing, legacy)
    sessions = Sessions(platform.database, platform.settings, tokens)
    claims = {"user_id": str(person.id), "email": person.email, "exp": datetime.now(UTC) + HOUR}
    token = jwt.encode(claims, legacy, algorithm="HS256")
    assert person.id is not None
    await platform.execute(
        "INSERT INTO session (id, account, expires_at) VALUES ($1, $2, now() + interval '1 day')",
        legacy_session(person.id),
        person.id,
    )
    caller = await sessions.identify(token)
    assert caller.id == person.id
    await sessions.end_all(caller)
    with pytest.raises(Exception, match="has ended"):
        await sessions.identify(token)


async def test_guessing_is_limited_for_each_account_and_each_address(launch: Callable[..., Any]) -> None:
    # Windows follow the clock: in a test, a minute would now and then end between two attempts.
    rates = config.RatesSettings(authentication_per_account="3/day", authentication_per_address="8/day")
    platform = await launch(rates=rates)
    statuses = [(await log_in(platform, "A@b.test", "x")).status for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    assert (await log_in(platform, "other@b.test", "x")).status == 401
    for number in range(3):
        last = await log_in(platform, f"{number}@b.test", "x")
    refused = await log_in(platform, "last@b.test", "x")
    assert (last.status, is_error(refused, 429, "RATE_LIMITED")) == (401, True)
    assert 1 <= int(refused.headers["Retry-After"]) <= 24 * 3600
    assert (await platform.nobody.get("/health")).status == 200


async def test_behind_our_ingress_the_address_is_the_one_it_saw(launch: Callable[..., Any]) -> None:
    platform = await launch(rates=config.RatesSettings(authentication_per_address="1/day"))

    async def attempt(forwarded: str) -> int:
        body = {"email": "a@b.test", "password": "x"}
        answer = await platform.nobody.post(
            "/api/auth/login", json=body, headers={"X-Forwarded-For": forwarded}
        )
        return answer.status

    assert [await attempt("203.0.113.7"), await attempt("203.0.113.8")] == [401, 401]
    assert await attempt("198.51.100.1, 203.0.113.7") == 429


async def test_the_command_line_makes_the_first_admin_once(platform: Platform) -> None:
    admin = await platform.services.accounts.make_admin("root@example.test")
    assert admin.password is not None
    assert (admin.account.is_admin, admin.account.plan, admin.account.email_verified) == (True, "pro", True)
    assert (await log_in(platform, "root@example.test", admin.password)).json["user"]["is_admin"] is True
    again = await platform.services.accounts.make_admin("ROOT@example.test")
    assert (again.account.id, again.password) == (admin.account.id, None)


async def test_promoting_an_unproven_address_shuts_its_stranger_out(platform: Platform) -> None:
    stranger = await platform.person(email="boss@example.test", email_verified=False)
    admin = await platform.services.accounts.make_admin("boss@example.test", "chosen password")
    assert admin.account.id == stranger.id
    assert (await stranger.get("/api/user/me")).status == 401
    assert (await log_in(platform, "boss@example.test", PASSWORD)).status == 401
    assert (await log_in(platform, "boss@example.test", "chosen password")).status == 200
