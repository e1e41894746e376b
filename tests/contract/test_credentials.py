"""Section 2 of the contract: what somebody with a stolen bearer token can't do, and what its owner is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stackyn_server import config
from tests.contract.conftest import PASSWORD, Answer, Person, Platform
from tests.contract.test_conventions import is_error
from tests.contract.test_sign_in import log_in
from tests.contract.test_sign_up import ADDRESS, ask, code_for, mails
from tests.firebase import Google, served

NEW_PASSWORD = "another password"
# Each changes credentials, and so needs more than a session.
CHANGES: dict[str, dict[str, Any]] = {
    "/api/auth/update-profile": {"password": NEW_PASSWORD},
    "/api/v1/tokens": {"name": "ci"},
}
changes = pytest.mark.parametrize("path", CHANGES)


async def change(person: Person, path: str, **body: Any) -> Answer:
    return await person.post(path, json={**CHANGES[path], **body})


def names_current_password(answer: Answer) -> bool:
    assert is_error(answer, 400, "INVALID_REQUEST")
    assert answer.json["details"] == {"field": "current_password"}
    return "current_password" in answer.json["error"]


async def credentials(platform: Platform) -> Any:
    """All that a change would change."""
    return await platform.value(
        "SELECT (SELECT array_agg(password_hash ORDER BY id) FROM account)::text || (SELECT count(*) FROM api_token)"
    )


@changes
@pytest.mark.parametrize("current", [{}, {"current_password": ""}, {"current_password": "not the password"}])
async def test_a_session_alone_changes_no_credentials(
    platform: Platform, path: str, current: dict[str, str]
) -> None:
    person = await platform.person(signed_in_by_code=False)
    before = await credentials(platform)
    assert names_current_password(await change(person, path, **current))
    assert await credentials(platform) == before and not await mails(platform)


@changes
async def test_the_current_password_is_enough(platform: Platform, path: str) -> None:
    person = await platform.person(signed_in_by_code=False)
    assert (await change(person, path, current_password=PASSWORD)).status in (200, 201)


@changes
async def test_a_code_is_enough_for_some_minutes(platform: Platform, path: str) -> None:
    answer = await ask(platform, "verify-otp", email=ADDRESS, otp=await code_for(platform))
    person = Person(platform, email=ADDRESS, token=answer.json["token"])
    assert (await change(person, path)).status in (200, 201)
    await platform.execute("UPDATE session SET proved_at = proved_at - interval '15 minutes'")
    assert names_current_password(await change(person, path))


@changes
async def test_without_a_password_a_new_code_is_needed(platform: Platform, path: str) -> None:
    person = await platform.person(password=None, signed_in_by_code=False)
    answer = await change(person, path, current_password="anything")
    assert names_current_password(answer) and "code" in answer.json["error"]


@pytest.fixture(scope="module")
async def firebase() -> AsyncIterator[tuple[Google, config.FirebaseSettings]]:
    async with served() as (google, settings):
        yield google, config.FirebaseSettings(**settings)


@changes
@pytest.mark.parametrize(("minutes", "status"), [(0, "let in"), (14, "let in"), (16, "refused")])
@pytest.mark.parametrize("by", ["token", "completed sign-up"])
async def test_a_firebase_sign_in_counts_for_as_long(
    launch: Callable[..., Any], firebase: tuple[Google, config.FirebaseSettings], path: str, by: str,
    minutes: int, status: str,
) -> None:  # fmt: skip
    google, settings = firebase
    platform = await launch(auth=config.AuthSettings(firebase=settings))
    signed_in = datetime.now(UTC) - timedelta(minutes=minutes)
    token = google.token(auth_time=int(signed_in.timestamp()))
    if by == "completed sign-up":
        token = (await ask(platform, "signup/complete", id_token=token, full_name="Ada")).json["token"]
    answer = await change(Person(platform, token=token), path)
    assert answer.status in (200, 201) if status == "let in" else names_current_password(answer)


async def test_names_change_without_a_password(platform: Platform) -> None:
    person = await platform.person(signed_in_by_code=False)
    assert (await person.post("/api/auth/update-profile", json={"full_name": "Ada"})).status == 200


async def test_a_login_with_a_password_is_no_fresh_proof(platform: Platform) -> None:
    person = await platform.person()
    signed_in = Person(platform, token=(await log_in(platform, person.email, PASSWORD)).json["token"])
    assert names_current_password(await change(signed_in, "/api/v1/tokens"))


async def test_an_api_token_changes_no_credentials(platform: Platform) -> None:
    person = await platform.person(is_admin=True)
    program = await person.api_token("read", "deploy", "admin")
    for path in CHANGES:
        assert is_error(await change(program, path, current_password=PASSWORD), 403, "FORBIDDEN")


@pytest.mark.parametrize("end_tokens", [None, False, True])
async def test_a_changed_password_ends_tokens_when_asked(platform: Platform, end_tokens: bool | None) -> None:
    person = await platform.person()
    program = await person.api_token()
    body = {"password": NEW_PASSWORD} | ({} if end_tokens is None else {"end_tokens": end_tokens})
    assert (await person.post("/api/auth/update-profile", json=body)).status == 200
    assert (await program.get("/api/apps")).status == (401 if end_tokens else 200)
    assert "no longer work" in (await mails(platform))[-1]["values"]["tokens"] or not end_tokens


@pytest.mark.parametrize("endpoint", ["reset-password", "verify-otp"])
async def test_a_password_by_code_ends_sessions_and_tokens(platform: Platform, endpoint: str) -> None:
    person = await platform.person()
    program = await person.api_token()
    send = "forgot-password" if endpoint == "reset-password" else "send-otp"
    code = await code_for(platform, person.email, send)
    answer = await ask(platform, endpoint, email=person.email, otp=code, password=NEW_PASSWORD)
    assert answer.status == 200
    assert [(await each.get("/api/apps")).status for each in (person, program)] == [401, 401]


async def test_the_owner_is_mailed_about_each_change(platform: Platform) -> None:
    person = await platform.person()
    await person.post("/api/auth/update-profile", json={"password": NEW_PASSWORD})
    await person.api_token("read", days=1)
    code = await code_for(platform, person.email, "forgot-password")
    await ask(platform, "reset-password", email=person.email, otp=code, password=PASSWORD)
    sent = [(mail["template"], mail["to"]) for mail in await mails(platform)]
    told = ["password_set", "token_made", "reset_code", "password_set"]
    assert sent == [(template, person.email) for template in told]
    assert not {PASSWORD, NEW_PASSWORD} & {
        text for mail in await mails(platform) for text in mail["values"].values()
    }


async def test_nothing_is_mailed_to_an_unproven_address(platform: Platform) -> None:
    person = await platform.person(email_verified=False)
    await person.post("/api/auth/update-profile", json={"password": NEW_PASSWORD})
    await person.api_token()
    assert not await mails(platform)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["session"]}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"scopes": ["admin"], "app_id": 1}, "scopes"),
        ({"name": " "}, "name"),
        ({"days": 0}, "days"),
        ({"app_id": "1"}, "app_id"),
    ],
)
async def test_a_token_that_can_not_be_made_is_400(
    platform: Platform, body: dict[str, Any], field: str
) -> None:
    answer = await change(await platform.person(), "/api/v1/tokens", **body)
    assert is_error(answer, 400, "INVALID_REQUEST") and field in answer.json["error"]


async def test_a_token_for_somebody_elses_app_is_404(platform: Platform) -> None:
    app = await (await platform.person()).new_app()
    answer = await change(await platform.person(), "/api/v1/tokens", app_id=app)
    assert is_error(answer, 404, "NOT_FOUND") and answer.json["error"] == "App not found"


async def test_a_token_says_what_it_may_do(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    await person.api_token()
    await person.api_token("deploy", "deploy", app_id=app)
    listed = (await person.get("/api/v1/tokens")).json
    shown = [(token["scopes"], token["app_id"]) for token in listed]
    assert shown == [(["deploy"], app), (["read", "deploy"], None)]


async def test_an_account_has_a_limited_number_of_tokens(launch: Callable[..., Any]) -> None:
    platform = await launch(auth=config.AuthSettings(api_tokens=2))
    person = await platform.person()
    for _ in range(2):
        await person.api_token()
    assert is_error(await change(person, "/api/v1/tokens"), 409, "CONFLICT")
