"""Firebase ID tokens, signed by a certificate of our own and checked against a local certificate server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stackyn_server import config
from stackyn_server.gateways import firebase as gateway
from tests.contract.conftest import PASSWORD, Answer, Person, Platform, Statements
from tests.contract.test_conventions import is_error
from tests.contract.test_sign_in import log_in
from tests.firebase import ADDRESS, HOUR, PROJECT, Google, served


@pytest.fixture
async def google() -> AsyncIterator[tuple[Google, config.FirebaseSettings]]:
    async with served() as (service, settings):
        yield service, config.FirebaseSettings(**settings)


@pytest.fixture
async def signing(
    launch: Callable[..., Any], google: tuple[Google, config.FirebaseSettings]
) -> tuple[Platform, Google]:
    service, settings = google
    return await launch(auth=config.AuthSettings(firebase=settings)), service


async def me(platform: Platform, token: str) -> Answer:
    return await Person(platform, token=token).get("/api/user/me")


async def complete(platform: Platform, token: str, **body: Any) -> Answer:
    body = {"id_token": token, "full_name": "Fire Fox", **body}
    return await platform.nobody.post("/api/auth/signup/complete", json=body)


async def test_a_genuine_token_creates_a_verified_account(
    signing: tuple[Platform, Google],
) -> None:
    platform, google = signing
    token = google.token()
    answers = await asyncio.gather(*(me(platform, token) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert {answer.json["id"] for answer in answers} == {answers[0].json["id"]}
    assert (answers[0].json["email"], answers[0].json["email_verified"], answers[0].json["plan"]) == (
        ADDRESS,
        True,
        "free",
    )
    assert await platform.value("SELECT count(*) FROM session") == 1


async def test_what_is_not_genuine_is_refused(signing: tuple[Platform, Google]) -> None:
    platform, google = signing
    await me(platform, google.token())
    now = datetime.now(UTC)
    stranger = Google()
    stranger.new_key("first")
    public = google.keys["first"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    tokens = {
        "over": google.token(exp=now - HOUR, sub="uid-2"),
        "audience": google.token(aud="another-project"),
        "two audiences": google.token(aud=[PROJECT, "x"]),
        "issuer": google.token(iss=f"https://securetoken.google.com/{PROJECT}x"),
        "no subject": google.token(sub=""),
        "no expiry": google.token(exp=None),
        "from the future": google.token(iat=now + HOUR),
        "signed in tomorrow": google.token(auth_time=int((now + 24 * HOUR).timestamp())),
        "never signed in": google.token(auth_time=None),
        "another key": stranger.token(),
        "unknown key id": google.token(headers={"kid": "unknown"}),
        "no e-mail": google.token(email=None, sub="uid-3"),
        "cut off": google.token()[:-10],
    }
    for name, token in tokens.items():
        assert (await me(platform, token)).status == 401, name
    head, _, _ = google.token().partition(".")
    assert head
    claims = jwt.decode(google.token(), options={"verify_signature": False})
    none = jwt.encode(claims, None, algorithm="none", headers={"kid": "first"})
    assert (await me(platform, none)).status == 401
    # HS256 with the public key as the secret: PyJWT refuses to make one, so it is made by hand.
    assert (await me(platform, _hs256(claims, public))).status == 401


def _hs256(claims: dict[str, Any], secret: bytes) -> str:
    import base64
    import hmac
    import json

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "first"}).encode())
    text = f"{head}.{part(json.dumps(claims).encode())}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256'))}"


async def test_a_token_for_another_project_asks_no_database(
    signing: tuple[Platform, Google], statements: Statements
) -> None:
    platform, google = signing
    with statements.of() as asked:
        for changes in ({"iss": "https://securetoken.google.com/another"}, {"iss": None}):
            assert (await Person(platform, token=google.token(**changes)).get("/api/apps")).status == 401
    assert not asked


async def test_a_token_lasts_as_long_as_its_session(
    signing: tuple[Platform, Google],
) -> None:
    platform, google = signing
    now = datetime.now(UTC)
    # Over by less than the leeway: the next moment it is over for good.
    token = google.token(iat=now - HOUR, exp=now - timedelta(seconds=298))
    assert (await me(platform, token)).status == 200
    late = google.token(iat=now - 2 * HOUR, exp=now - HOUR)
    assert is_error(await me(platform, late), 401, "SESSION_ENDED")
    await platform.execute("UPDATE session SET created_at = created_at - interval '2 hours'")
    assert (await me(platform, token)).status == 200
    hours = await platform.value("SELECT extract(epoch FROM expires_at - now()) / 3600 FROM session")
    assert 23.9 < float(hours) <= 24
    await platform.execute("UPDATE session SET expires_at = now()")
    assert is_error(await me(platform, token), 401, "SESSION_ENDED")


async def test_the_token_of_an_ended_session_opens_no_new_one(
    signing: tuple[Platform, Google],
) -> None:
    platform, google = signing
    token = google.token()
    await me(platform, token)
    assert (await Person(platform, token=token).post("/api/auth/logout-everywhere")).status == 200
    assert is_error(await me(platform, token), 401, "SESSION_ENDED")


async def test_a_stale_claim_is_looked_up(signing: tuple[Platform, Google]) -> None:
    platform, google = signing
    token = google.token(email_verified=False)
    assert (await me(platform, token)).status == 401
    facts = await platform.nobody.post("/api/auth/verify-token", json={"id_token": token})
    assert (facts.status, facts.json) == (200, {"uid": "uid-1", "email": ADDRESS, "email_verified": False})
    refused = await complete(platform, token)
    assert refused.json["error"] == "Email not verified. Please verify your email first."
    google.verified.add("uid-1")
    assert (await me(platform, token)).status == 200
    google.verified.clear()
    stale = google.token(email_verified=False, nonce="another token of the same user")
    assert (await me(platform, stale)).status == 200


async def test_the_proof_of_another_address_proves_nothing(signing: tuple[Platform, Google]) -> None:
    platform, google = signing
    victim = await platform.person()
    token = google.token(sub="thief", email=victim.email, email_verified=False)
    google.moved["thief"] = (
        "thief@example.test"  # and verified there, while the token still names the victim's
    )
    google.verified.add("thief")
    assert (await Person(platform, token=token).get("/api/user/me")).status == 401
    del google.moved["thief"]
    assert (await Person(platform, token=token).get("/api/user/me")).status == 200


async def test_registering_an_address_at_firebase_opens_no_account(
    signing: tuple[Platform, Google],
) -> None:
    platform, google = signing
    await platform.person(email=ADDRESS)
    assert (await me(platform, google.token(email_verified=False, sub="attacker"))).status == 401


async def test_proof_of_an_address_ends_what_a_stranger_set_up(
    signing: tuple[Platform, Google],
) -> None:
    platform, google = signing
    stranger = await platform.person(email=ADDRESS, email_verified=False)
    assert (await me(platform, google.token())).json["id"] == str(stranger.id)
    assert (await stranger.get("/api/user/me")).status == 401
    assert (await log_in(platform, ADDRESS, PASSWORD)).status == 401


async def test_a_sign_up_is_completed_once(signing: tuple[Platform, Google]) -> None:
    platform, google = signing
    answer = await complete(platform, google.token(), company_name="", email="", plan="pro")
    assert answer.status == 201 and set(answer.json) == {"firebase_uid", "token", "user"}
    assert answer.json["user"] == {
        "id": answer.json["user"]["id"], "email": ADDRESS, "full_name": "Fire Fox", "company_name": "",
        "email_verified": True,
    }  # fmt: skip
    profile = (await me(platform, answer.json["token"])).json
    assert profile["plan"] == "free"
    again = await complete(platform, google.token(), full_name="Another", plan="nonsense")
    assert (again.status, again.json["user"]["full_name"]) == (200, "Fire Fox")
    assert again.json["message"] and again.json["token"]
    desired_plan = await platform.value(
        "SELECT data ->> 'plan' FROM audit WHERE action = 'plan.wished' ORDER BY id LIMIT 1"
    )
    assert desired_plan == "pro"


async def test_signing_in_before_finishing_loses_no_name(signing: tuple[Platform, Google]) -> None:
    platform, google = signing
    token = google.token()
    await me(platform, token)
    done = await complete(platform, token, company_name="Foxes")
    assert (done.status, done.json["user"]["full_name"], done.json["user"]["company_name"]) == (
        200,
        "Fire Fox",
        "Foxes",
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [({"email": "other@example.test"}, 400), ({"full_name": " "}, 400), ({"email": ADDRESS.upper()}, 201)],
)
async def test_a_completion_is_checked(
    signing: tuple[Platform, Google], body: dict[str, str], status: int
) -> None:
    platform, google = signing
    assert (await complete(platform, google.token(), **body)).status == status


async def test_cached_certificates_go_on_through_an_outage(signing: tuple[Platform, Google]) -> None:
    platform, google = signing
    google.max_age = 0
    assert (await me(platform, google.token())).status == 200
    google.is_away = True
    assert (await me(platform, google.token(sub="uid-2", email="two@example.test"))).status == 200


async def test_without_any_certificate_it_is_503(signing: tuple[Platform, Google]) -> None:
    platform, google = signing
    google.is_away = True
    assert is_error(await me(platform, google.token()), 503, "TEMPORARILY_UNAVAILABLE")


async def test_a_new_key_is_fetched_once_and_invented_ones_never(
    signing: tuple[Platform, Google], monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, google = signing
    await me(platform, google.token())
    for number in range(5):
        await me(platform, google.token(headers={"kid": f"made up {number}"}))
    assert google.asked == 1
    monkeypatch.setattr(gateway, "UNKNOWN_KEY_PAUSE_SECONDS", 0.0)
    google.new_key("second")
    token = google.token(key="second", sub="uid-2", email="two@example.test")
    assert (await me(platform, token)).status == 200
    assert google.asked == 2


async def test_without_a_project_nothing_of_firebase_works(platform: Platform) -> None:
    google = Google()
    google.new_key("first")
    assert (await me(platform, google.token())).status == 401
    for path, body in [
        ("verify-token", {"id_token": google.token()}),
        ("signup/complete", {"id_token": google.token(), "full_name": "A"}),
        ("signup/firebase", {"email": ADDRESS, "password": PASSWORD}),
    ]:
        answer = await platform.nobody.post(f"/api/auth/{path}", json=body)
        assert is_error(answer, 503, "NOT_CONFIGURED")
        assert answer.json["error"] == "Firebase Auth not configured"
