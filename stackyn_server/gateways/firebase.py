"""Checks Firebase ID tokens against the published certificates, which are cached while they are valid.

The rules are those of "Verify ID tokens using a third-party JWT library" in Firebase's documentation, as public
libraries that follow it spell them: RS256, a `kid` of the published certificates, which are good for the `max-age` of
their answer, exact `iss` and `aud`, `sub` of 1 to 128 characters, `iat` and `auth_time` in the past. Compared with
firebase-admin-python (`_token_gen.py`, `_user_mgt.py`): `sub` is the `localId` of a user, whose address and its
`emailVerified` a look-up says as `users[0]`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from stackyn_server.config import FirebaseSettings
from stackyn_server.errors import Unavailable

log = structlog.get_logger("stackyn.firebase")

_ALGORITHM = "RS256"
_LEEWAY_SECONDS = 300
_LONGEST_UID = 128
_ANSWER_SECONDS = 5.0
_USUAL_CACHE_SECONDS = 3600.0
UNKNOWN_KEY_PAUSE_SECONDS = 30.0  # tokens with invented key ids must not cause a request each
_NO_KEYS_PAUSE_SECONDS = 1.0
_MAX_AGE = re.compile(r"max-age=(\d+)")


class FirebaseUnavailable(Unavailable):
    """The identity service can't be reached, and the cached certificates are not enough."""

    def __init__(self) -> None:
        super().__init__("The identity service can't be reached right now.", hint="Try again in a moment.")


class FirebaseRefused(Exception):
    """The token is not a genuine one of our project, or (`has_ended`) it has expired."""

    def __init__(self, *, has_ended: bool = False) -> None:
        super().__init__("the token is refused")
        self.has_ended = has_ended


@dataclass(frozen=True, slots=True)
class FirebaseUser:
    """The user of a genuine token, signed in at `signed_in_at`. `email_verified` may be stale by an hour."""

    uid: str
    email: str
    email_verified: bool
    signed_in_at: datetime


class Firebase:
    def __init__(self, settings: FirebaseSettings) -> None:
        self._settings = settings
        self._keys: dict[str, RSAPublicKey] = {}
        self._fresh_until = 0.0
        self._requested_at = float("-inf")
        self._refreshing = asyncio.Lock()

    @property
    def is_configured(self) -> bool:
        return bool(self._settings.project_id)

    @property
    def _issuer(self) -> str:
        return f"https://securetoken.google.com/{self._settings.project_id}"

    def is_named_by(self, token: str) -> bool:
        """Say whether the token names the algorithm of Firebase and our project; the signature is not checked."""
        try:
            read = jwt.decode_complete(token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return False
        return bool(read["header"].get("alg") == _ALGORITHM and read["payload"].get("iss") == self._issuer)

    async def verify(self, token: str) -> FirebaseUser:
        """Return the user of a genuine, current token. Raises `FirebaseRefused`, `FirebaseUnavailable`."""
        try:
            key_id = str(jwt.get_unverified_header(token).get("kid") or "")
            claims = jwt.decode(
                token,
                await self._key(key_id),
                algorithms=[_ALGORITHM],
                audience=self._settings.project_id,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "aud", "iss", "sub", "auth_time"], "strict_aud": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise FirebaseRefused(has_ended=True) from error
        except jwt.InvalidTokenError as error:
            raise FirebaseRefused from error
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= _LONGEST_UID:
            raise FirebaseRefused
        if not _is_past(claims["auth_time"]):
            raise FirebaseRefused
        return FirebaseUser(
            uid=claims["sub"],
            email=str(claims.get("email") or ""),
            email_verified=claims.get("email_verified") is True,
            signed_in_at=datetime.fromtimestamp(claims["auth_time"], UTC),
        )

    async def is_verified_now(self, token: str, user: FirebaseUser) -> bool:
        """Ask the identity service whether the address of `user`, whose token this is, is verified now.

        Another address is none of the token's: its user may have taken it, and verified it, since the token was made.
        False without `[auth.firebase] web_api_key`. Raises `FirebaseUnavailable`.
        """
        if not self._settings.web_api_key:
            return False
        key, asked = {"key": self._settings.web_api_key}, {"idToken": token}
        status, body, _ = await request_json("POST", self._settings.lookup_url, params=key, json=asked)
        if status >= 500:
            raise FirebaseUnavailable
        users = body.get("users") if status == 200 else None
        found = users[0] if isinstance(users, list) and users and isinstance(users[0], dict) else {}
        is_same = found.get("localId") == user.uid and str(found.get("email")).lower() == user.email.lower()
        return is_same and found.get("emailVerified") is True

    async def _key(self, key_id: str) -> RSAPublicKey:
        async with self._refreshing:
            is_stale = time.monotonic() >= self._fresh_until
            is_new = key_id not in self._keys
            if (is_stale or is_new) and time.monotonic() - self._requested_at >= self._pause(is_new):
                await self._refresh()
        if key_id not in self._keys:
            if not self._keys:
                raise FirebaseUnavailable
            raise FirebaseRefused
        return self._keys[key_id]

    def _pause(self, is_new: bool) -> float:
        if not self._keys:
            return _NO_KEYS_PAUSE_SECONDS
        return UNKNOWN_KEY_PAUSE_SECONDS if is_new else _ANSWER_SECONDS

    async def _refresh(self) -> None:
        """Fetch the certificates. When that fails, the cached ones stay in use."""
        self._requested_at = time.monotonic()
        try:
            status, body, headers = await request_json("GET", self._settings.certificates_url)
            if status != 200 or not body:
                raise FirebaseUnavailable
            keys = {name: _public_key(pem) for name, pem in body.items()}
        except (FirebaseUnavailable, ValueError) as error:
            log.warning("firebase.certificates_missing", kept=len(self._keys), reason=type(error).__name__)
            return
        age = _MAX_AGE.search(headers.get("Cache-Control", ""))
        self._keys = keys
        self._fresh_until = time.monotonic() + (float(age.group(1)) if age else _USUAL_CACHE_SECONDS)


async def request_json(
    method: str, url: str, **options: Any
) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    """Send a request; return the answer's status, JSON object ({} for any other JSON) and headers.

    Raises `FirebaseUnavailable`.
    """
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, **options) as response,
        ):
            body = await response.json(content_type=None)
            return response.status, body if isinstance(body, dict) else {}, response.headers
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise FirebaseUnavailable from error


def _is_past(moment: Any) -> bool:
    return isinstance(moment, int | float) and 0 <= moment <= time.time() + _LEEWAY_SECONDS


def _public_key(pem: str) -> RSAPublicKey:
    key = load_pem_x509_certificate(pem.encode()).public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("not an RSA certificate")
    return key
