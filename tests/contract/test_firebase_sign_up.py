"""Accounts made at Firebase from here: with the service account's own token, and refused as the contract says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config
from tests.contract.conftest import PASSWORD, Answer, Person, Platform
from tests.contract.test_conventions import is_error
from tests.firebase import ADDRESS, Google, served


@dataclass(frozen=True)
class FirebaseSetup:
    google: Google
    settings: dict[str, str]
    platform: Platform


@pytest.fixture
async def setup(launch: Callable[..., Any]) -> AsyncIterator[FirebaseSetup]:
    async with served() as (google, settings):
        platform = await launch(auth=config.AuthSettings(firebase=config.FirebaseSettings(**settings)))  # type: ignore[arg-type]
        yield FirebaseSetup(google, settings, platform)


async def sign_up(platform: Platform, email: str = ADDRESS, password: str = PASSWORD) -> Answer:
    body = {"email": email, "password": password}
    return await platform.nobody.post("/api/auth/signup/firebase", json=body)


async def test_a_firebase_account_counts_once_its_address_is_proven(setup: FirebaseSetup) -> None:
    answer = await sign_up(setup.platform)
    assert answer.status == 201
    assert set(answer.json) == {"message", "uid", "email"}
    uid = answer.json["uid"]
    assert (uid, answer.json["email"]) == (f"uid-{ADDRESS}", ADDRESS)
    assert setup.google.accounts == {ADDRESS: PASSWORD}
    assert await setup.platform.value("SELECT count(*) FROM account") == 0

    unproven = Person(setup.platform, token=setup.google.token(sub=uid, email_verified=False))
    assert (await unproven.get("/api/user/me")).status == 401
    proven = Person(setup.platform, token=setup.google.token(sub=uid))
    assert (await proven.get("/api/user/me")).json["email"] == ADDRESS


async def test_an_address_that_is_known_here_or_there_is_409(setup: FirebaseSetup) -> None:
    await setup.platform.person(email="here@example.test")
    setup.google.accounts["there@example.test"] = PASSWORD
    for address in ("HERE@example.test", "there@example.test"):
        answer = await sign_up(setup.platform, address)
        assert is_error(answer, 409, "EMAIL_TAKEN")
        assert answer.json["error"] == "Email already registered"


async def test_the_token_of_the_service_account_is_asked_for_once(setup: FirebaseSetup) -> None:
    for number in range(3):
        assert (await sign_up(setup.platform, f"number-{number}@example.test")).status == 201
    assert setup.google.tokens_given == 1


@pytest.mark.parametrize(
    ("email", "password"),
    [("no address", PASSWORD), ("", PASSWORD), (ADDRESS, "short"), (ADDRESS, "x" * 129)],
)
async def test_what_is_not_right_in_form_is_400_and_goes_nowhere(
    setup: FirebaseSetup, email: str, password: str
) -> None:
    assert is_error(await sign_up(setup.platform, email, password), 400, "INVALID_REQUEST")
    assert setup.google.tokens_given == 0


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        ("WEAK_PASSWORD : Password should be longer", 400, "INVALID_REQUEST"),
        ("INVALID_EMAIL", 400, "INVALID_REQUEST"),
        ("CONFIGURATION_NOT_FOUND", 503, "TEMPORARILY_UNAVAILABLE"),
    ],
)
async def test_what_firebase_refuses_is_told_in_our_words(
    setup: FirebaseSetup, refusal: str, status: int, code: str
) -> None:
    setup.google.refusal = refusal
    answer = await sign_up(setup.platform)
    assert is_error(answer, status, code)
    assert refusal not in answer.text


async def test_an_outage_or_an_unusable_credential_is_503(
    setup: FirebaseSetup, launch: Callable[..., Any], tmp_path: Path
) -> None:
    setup.google.is_away = True
    assert is_error(await sign_up(setup.platform), 503, "TEMPORARILY_UNAVAILABLE")
    nonsense, no_key = tmp_path / "nonsense", tmp_path / "no-key"
    nonsense.write_text("{}")
    no_key.write_text('{"client_email": "a", "private_key": "no key", "token_uri": "http://127.0.0.1:1/"}')
    for file in (tmp_path / "missing", nonsense, no_key):
        chosen = {**setup.settings, "admin_credential_file": str(file)}
        platform = await launch(auth=config.AuthSettings(firebase=config.FirebaseSettings(**chosen)))  # type: ignore[arg-type]
        assert is_error(await sign_up(platform), 503, "TEMPORARILY_UNAVAILABLE")


async def test_sign_up_without_a_credential_is_503(setup: FirebaseSetup, launch: Callable[..., Any]) -> None:
    chosen = {**setup.settings, "admin_credential_file": ""}
    platform = await launch(auth=config.AuthSettings(firebase=config.FirebaseSettings(**chosen)))  # type: ignore[arg-type]
    answer = await sign_up(platform)
    assert is_error(answer, 503, "NOT_CONFIGURED")
    assert answer.json["error"] == "Firebase Auth not configured"
