"""Bearer tokens that nobody who may sign gave out: RFC 8725 lists most of the ways."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.contract.conftest import KEYS, PASSWORD
from tests.firebase import Google
from tests.hostile.api_stage import ApiStage

HOUR = timedelta(hours=1)
ANOTHER_KEY = b"a" * 32

Forgery = Callable[[ApiStage], Awaitable[str]]


async def claims_of(stage: ApiStage, **changes: Any) -> dict[str, Any]:
    """The claims of a session that the owner has: a forger who knows even its id."""
    now = datetime.now(UTC)
    session = await stage.platform.value(
        "SELECT id FROM session WHERE account = $1 AND ended_at IS NULL LIMIT 1", stage.owner.id
    )
    claims = {
        "user_id": str(stage.owner.id),
        "email": stage.owner.email,
        "iat": now,
        "nbf": now - HOUR,
        "exp": now + HOUR,
        "jti": str(session),
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def by_hand(head: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token that a library refuses to make."""
    seconds = {
        name: int(value.timestamp()) if isinstance(value, datetime) else value
        for name, value in claims.items()
    }
    text = f"{_part(json.dumps(head).encode())}.{_part(json.dumps(seconds).encode())}"
    return f"{text}.{_part(sign(text.encode()))}"


def _part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _unsigned(_text: bytes) -> bytes:
    return b""


def _hmac(key: bytes, digest: str = "sha256") -> Callable[[bytes], bytes]:
    return lambda text: hmac.digest(key, text, digest)


def with_head(sign: Callable[[bytes], bytes], **head: Any) -> Forgery:
    """The owner's claims under this head."""

    async def forge(stage: ApiStage) -> str:
        return by_hand({"typ": "JWT", "alg": "HS256", **head}, await claims_of(stage), sign)

    return forge


def signed_by_us(**changes: Any) -> Forgery:
    """Signed with the server's own key, with a claim that is not as it should be: an old or a strange token of ours."""

    async def forge(stage: ApiStage) -> str:
        return jwt.encode(await claims_of(stage, **changes), KEYS.signing, algorithm="HS256")

    return forge


async def altered(stage: ApiStage) -> str:
    """A genuine token of a stranger, with the owner's claims under the stranger's signature."""
    stranger = await stage.platform.person()
    assert stranger.token is not None
    head, _, signature = stranger.token.split(".")
    _, claims, _ = by_hand({}, await claims_of(stage), _unsigned).split(".")
    return f"{head}.{claims}.{signature}"


async def cut_off(stage: ApiStage) -> str:
    assert stage.owner.token is not None
    return stage.owner.token[:-4]


async def of_an_ended_session(stage: ApiStage) -> str:
    token = await stage.platform.services.accounts.sign_in(stage.owner.email, PASSWORD)
    session = jwt.decode(token.token, options={"verify_signature": False})["jti"]
    await stage.platform.execute("UPDATE session SET ended_at = now() WHERE id = $1", session)
    return token.token


async def of_somebody_elses_session(stage: ApiStage) -> str:
    stranger = await stage.platform.person()
    session = await stage.platform.value("SELECT id FROM session WHERE account = $1", stranger.id)
    return await signed_by_us(jti=str(session))(stage)


@cache
def _own_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


FORGED: dict[str, Forgery] = {
    "no algorithm": with_head(_unsigned, alg="none"),
    "no algorithm, in capitals": with_head(_unsigned, alg="NONE"),
    "no signature": with_head(_unsigned),
    "another key": with_head(_hmac(ANOTHER_KEY)),
    "an empty key": with_head(_hmac(b"")),
    "another digest": with_head(_hmac(KEYS.signing, "sha512"), alg="HS512"),
    "a key id that leads to an empty file": with_head(_hmac(b""), kid="../../../../../dev/null"),
    "a key id with SQL in it": with_head(_hmac(b"x"), kid="x' UNION SELECT 'x"),
    "a key that the token brings": with_head(_hmac(ANOTHER_KEY), jwk={"kty": "oct", "k": _part(ANOTHER_KEY)}),
    "a key at an address in the token": with_head(_hmac(ANOTHER_KEY), jku="http://127.0.0.1:1/keys"),
    "a certificate at an address in the token": with_head(_hmac(ANOTHER_KEY), x5u="http://127.0.0.1:1/c"),
    "a body that is not in the token": with_head(_hmac(ANOTHER_KEY), b64=False, crit=["b64"]),
    "the signature of another token": altered,
    "a signature that is cut off": cut_off,
}
UNCURRENT: dict[str, Forgery] = {
    "expired": signed_by_us(exp=datetime.now(UTC) - HOUR),
    "not valid yet": signed_by_us(nbf=datetime.now(UTC) + HOUR),
    "without an end": signed_by_us(exp=None),
}
WITHOUT_SESSION: dict[str, Forgery] = {
    "of a session that was ended": of_an_ended_session,
    "of a session that never was": signed_by_us(jti="00000000-0000-4000-8000-000000000000"),
    "of somebody else's session": of_somebody_elses_session,
}


def decode_anything(token: str, *_arguments: Any, **_options: Any) -> dict[str, Any]:
    """`jwt.decode` of a server that checks nothing."""
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(f"{token.split('.')[1]}=="))
    return claims


def _hour_ago(google: Google) -> str:
    now = datetime.now(UTC)
    return google.token(iat=now - 2 * HOUR, exp=now - HOUR)


def _as_secret(google: Google) -> str:
    """HS256 with the public key as the secret."""
    public = google.keys["first"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return by_hand({"alg": "HS256", "kid": "first"}, _claims(google), _hmac(public))


def _claims(google: Google) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(google.token(), options={"verify_signature": False})
    return claims


# Firebase tokens for the address of somebody who has an account.
GOOGLE: dict[str, Callable[[Google], str]] = {
    "another key": lambda google: Google(keys={"first": _own_key()}).token(),
    "an unknown key id": lambda google: google.token(headers={"kid": "unknown"}),
    "another project": lambda google: google.token(aud="another-project"),
    "another issuer": lambda google: google.token(iss="https://securetoken.google.com/another-project"),
    "an hour old": _hour_ago,
    "no algorithm": lambda google: by_hand({"alg": "none", "kid": "first"}, _claims(google), _unsigned),
    "the public certificate as a secret": _as_secret,
    "an address that is not proven": lambda google: google.token(sub="attacker", email_verified=False),
}
