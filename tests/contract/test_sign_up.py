"""Section 2 of the contract: one-time codes, sign-up, a forgotten password."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.security.sealing import Sealer
from tests.contract.conftest import KEYS, PASSWORD, Answer, Person, Platform
from tests.contract.test_conventions import is_error
from tests.contract.test_sign_in import log_in

ADDRESS = "new@example.test"


async def ask(platform: Platform, endpoint: str, **body: Any) -> Answer:
    return await platform.nobody.post(f"/api/auth/{endpoint}", json=body)


async def mails(platform: Platform) -> list[dict[str, Any]]:
    """Return the queued mails, oldest first."""
    async with platform.database.connection() as connection:
        rows = await connection.fetch("SELECT subject, arguments FROM job WHERE kind = 'mail' ORDER BY id")
    sealer = Sealer(KEYS.sealing)
    return [
        json.loads(sealer.open(f"mail|{row['subject']}", base64.b64decode(row["arguments"]["sealed"])))
        for row in rows
    ]


async def code_for(
    platform: Platform, email: str = ADDRESS, endpoint: str = "send-otp", **options: Any
) -> str:
    """Ask for a code and read it from the mail."""
    asked = await platform.nobody.post(f"/api/auth/{endpoint}", json={"email": email}, **options)
    assert asked.status == 200
    mail = (await mails(platform))[-1]
    assert mail["to"] == email
    return str(mail["values"]["code"])


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


async def let_cool_down(platform: Platform) -> None:
    await platform.execute("UPDATE one_time_code SET created_at = created_at - interval '2 minutes'")


async def test_a_code_makes_an_account_whose_address_is_proven(platform: Platform) -> None:
    code = await code_for(platform)
    assert len(code) == 6 and code.isdigit()
    answer = await ask(platform, "verify-otp", email=ADDRESS.upper(), otp=f" {code} ")
    assert answer.status == 200
    assert answer.json["user"]["email_verified"] is True and answer.json["user"]["plan"] == "free"
    person = Person(platform, token=answer.json["token"])
    assert (await person.get("/api/user/me")).json["email"].lower() == ADDRESS


async def test_a_code_works_once_and_only_the_newest_does(platform: Platform) -> None:
    first = await code_for(platform)
    await let_cool_down(platform)
    second = await code_for(platform)
    if first != second:
        assert is_invalid(await ask(platform, "verify-otp", email=ADDRESS, otp=first))
    assert (await ask(platform, "verify-otp", email=ADDRESS, otp=second)).status == 200
    assert is_invalid(await ask(platform, "verify-otp", email=ADDRESS, otp=second))


def is_invalid(answer: Answer) -> bool:
    assert (answer.status, answer.json["code"]) == (401, "CODE_INVALID")
    assert "Invalid" in answer.json["error"] and "expired" not in answer.json["error"]
    return True


async def test_a_repetition_within_the_cool_down_changes_nothing(platform: Platform) -> None:
    code = await code_for(platform)
    first, again = (
        await ask(platform, "send-otp", email=ADDRESS),
        await ask(platform, "send-otp", email=ADDRESS),
    )
    assert first.json == again.json and len(await mails(platform)) == 1
    assert (await ask(platform, "verify-otp", email=ADDRESS, otp=code)).status == 200


async def test_the_answer_is_the_same_for_known_and_unknown_addresses(platform: Platform) -> None:
    person = await platform.person()
    for endpoint in ("send-otp", "forgot-password"):
        known_answer, unknown_answer = (
            await ask(platform, endpoint, email=person.email),
            await ask(platform, endpoint, email=ADDRESS),
        )
        assert (known_answer.status, known_answer.json) == (unknown_answer.status, unknown_answer.json)
        assert "otp" not in known_answer.json


async def test_after_five_wrong_guesses_the_right_code_is_refused(platform: Platform) -> None:
    code = await code_for(platform)
    for _ in range(5):
        assert is_invalid(await ask(platform, "verify-otp", email=ADDRESS, otp=wrong(code)))
    locked = await ask(platform, "verify-otp", email=ADDRESS, otp=code)
    assert is_error(locked, 429, "CODE_ATTEMPTS")


async def test_parallel_guesses_are_counted_one_by_one(platform: Platform) -> None:
    code = await code_for(platform)
    guesses = [ask(platform, "verify-otp", email=ADDRESS, otp=wrong(code)) for _ in range(20)]
    statuses = sorted(answer.status for answer in await asyncio.gather(*guesses))
    assert statuses == [401] * 5 + [429] * 15


async def test_only_a_right_code_can_be_expired(platform: Platform) -> None:
    code = await code_for(platform)
    await platform.execute("UPDATE one_time_code SET expires_at = now() - interval '1 second'")
    assert is_invalid(await ask(platform, "verify-otp", email=ADDRESS, otp=wrong(code)))
    late = await ask(platform, "verify-otp", email=ADDRESS, otp=code)
    assert (late.status, late.json["code"]) == (401, "CODE_EXPIRED")
    assert "expired" in late.json["error"] and "Invalid" not in late.json["error"]


async def test_a_refused_password_does_not_use_up_the_code(platform: Platform) -> None:
    code = await code_for(platform)
    refused = await ask(platform, "verify-otp", email=ADDRESS, otp=code, password="short")
    assert is_error(refused, 400, "INVALID_REQUEST")
    assert (await ask(platform, "verify-otp", email=ADDRESS, otp=code, password=PASSWORD)).status == 200
    assert (await log_in(platform, ADDRESS, PASSWORD)).status == 200


async def test_a_code_signs_in_at_login_too(platform: Platform) -> None:
    person = await platform.person()
    code = await code_for(platform, person.email)
    refused = await ask(platform, "login", email=person.email, otp=wrong(code))
    assert is_error(refused, 401, "CODE_INVALID")
    answer = await ask(platform, "login", email=person.email, otp=code)
    assert answer.json["user"]["id"] == str(person.id)


@pytest.mark.parametrize("endpoint", ["send-otp", "forgot-password"])
@pytest.mark.parametrize("email", ["", "nobody", "a@b@c", "a b@c.test", "x" * 300 + "@b.test"])
async def test_an_incomplete_address_is_400(platform: Platform, endpoint: str, email: str) -> None:
    assert is_error(await ask(platform, endpoint, email=email), 400, "INVALID_REQUEST")


async def test_a_forgotten_password_is_set_anew_and_ends_all_sessions(platform: Platform) -> None:
    person = await platform.person()
    code = await code_for(platform, person.email, "forgot-password")
    assert is_invalid(await ask(platform, "verify-otp", email=person.email, otp=code))
    short = await ask(platform, "reset-password", email=person.email, otp=code, password="short")
    assert is_error(short, 400, "INVALID_REQUEST")
    answer = await ask(platform, "reset-password", email=person.email, otp=code, password="a new password")
    assert (answer.status, list(answer.json)) == (200, ["message"])
    assert is_error(await person.get("/api/user/me"), 401, "SESSION_ENDED")
    assert (await log_in(platform, person.email, "a new password")).status == 200
    again = await ask(platform, "reset-password", email=person.email, otp=code, password="a new password")
    assert is_error(again, 401, "CODE_INVALID")


async def test_a_code_to_sign_in_with_resets_no_password(platform: Platform) -> None:
    person = await platform.person()
    code = await code_for(platform, person.email)
    answer = await ask(platform, "reset-password", email=person.email, otp=code, password="a new password")
    assert is_error(answer, 401, "CODE_INVALID")


async def test_sign_up_makes_an_account_once_whatever_the_case(platform: Platform) -> None:
    answer = await ask(platform, "signup", email=ADDRESS, password=PASSWORD)
    assert (answer.status, set(answer.json["user"])) == (201, {"id", "email"})
    profile = (await Person(platform, token=answer.json["token"]).get("/api/user/me")).json
    assert (profile["email_verified"], profile["plan"], profile["billing_status"]) == (
        False,
        "free",
        "active",
    )
    taken = await ask(platform, "signup", email=ADDRESS.title(), password=PASSWORD)
    assert is_error(taken, 409, "EMAIL_TAKEN") and taken.json["error"] == "Email already registered"


async def test_of_two_sign_ups_at_the_same_instant_one_succeeds(platform: Platform) -> None:
    answers = await asyncio.gather(
        *(ask(platform, "signup", email=ADDRESS, password=PASSWORD) for _ in range(6))
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 5


@pytest.mark.parametrize(
    "body",
    [{}, {"email": ADDRESS}, {"email": ADDRESS, "password": "short"}, {"email": "x", "password": PASSWORD}],
)
async def test_a_sign_up_that_lacks_something_is_400(platform: Platform, body: dict[str, str]) -> None:
    assert is_error(await ask(platform, "signup", **body), 400, "INVALID_REQUEST")


async def test_sign_up_can_be_switched_off(launch: Callable[..., Any]) -> None:
    platform = await launch(auth=config.AuthSettings(signup=False))
    assert is_error(await ask(platform, "signup", email=ADDRESS, password=PASSWORD), 403, "FORBIDDEN")


async def test_proof_gives_a_strangers_account_to_the_owner(
    platform: Platform,
) -> None:
    stranger = Person(
        platform, token=(await ask(platform, "signup", email=ADDRESS, password=PASSWORD)).json["token"]
    )
    await stranger.new_app("planted")
    answer = await ask(platform, "verify-otp", email=ADDRESS, otp=await code_for(platform))
    assert answer.json["user"]["email_verified"] is True
    assert (await stranger.get("/api/user/me")).status == 401
    assert (await log_in(platform, ADDRESS, PASSWORD)).status == 401


async def test_a_further_code_keeps_password_and_sessions(
    platform: Platform,
) -> None:
    person = await platform.person()
    code = await code_for(platform, person.email)
    assert (await ask(platform, "verify-otp", email=person.email, otp=code)).status == 200
    assert (await person.get("/api/user/me")).status == 200
    assert (await log_in(platform, person.email, PASSWORD)).status == 200


async def test_a_development_server_shows_its_codes(launch: Callable[..., Any]) -> None:
    platform = await launch(auth=config.AuthSettings(development_codes=True))
    code = (await ask(platform, "send-otp", email=ADDRESS)).json["otp"]
    assert (await ask(platform, "verify-otp", email=ADDRESS, otp=code)).status == 200


async def test_a_code_stands_nowhere_in_clear(platform: Platform) -> None:
    code = await code_for(platform)
    dump = await platform.value("SELECT string_agg(job::text, '') FROM job") + await platform.value(
        "SELECT string_agg(one_time_code::text, '') FROM one_time_code"
    )
    assert code not in dump


async def test_signing_out_ends_one_session_or_all(platform: Platform) -> None:
    person = await platform.person()
    tokens = [(await log_in(platform, person.email, PASSWORD)).json["token"] for _ in range(2)]
    first, second = (Person(platform, token=token) for token in tokens)
    assert (await first.post("/api/auth/logout")).status == 200
    statuses = [(await each.get("/api/user/me")).status for each in (person, first, second)]
    assert statuses == [200, 401, 200]
    assert (await second.post("/api/auth/logout-everywhere")).status == 200
    assert (await person.get("/api/user/me")).status == 401
