"""This server's own bearer tokens: JWT, HS256 (RFC 7519), claims `user_id`, `email`, `iat`, `nbf`, `exp`, `jti`.

The `jti` of a token names a session row. Ending that row revokes the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import jwt

from stackyn_server.domain.ids import UserId
from stackyn_server.security.keys import KEY_BYTES

_ALGORITHM = "HS256"
_CLAIMS = ["user_id", "email", "iat", "nbf", "exp", "jti"]

# Tokens of the legacy backend carry no `jti`: all tokens of a user share one session, whose row the import makes.
_LEGACY_CLAIMS = ["user_id", "exp"]
_LEGACY_SESSIONS = UUID("6f0e2f5e-7d0a-4d35-9d55-0f3c7f6b7c11")


class TokenRefused(Exception):
    """The token is not ours, or (`has_ended`) it has expired."""

    def __init__(self, *, has_ended: bool = False) -> None:
        super().__init__("the token is refused")
        self.has_ended = has_ended


@dataclass(frozen=True, slots=True)
class Claims:
    account: UserId
    session: UUID


class Tokens:
    """Makes and reads tokens. `legacy_signing` is the imported secret of a legacy backend, if there is one."""

    def __init__(self, signing: bytes, legacy_signing: bytes | None = None) -> None:
        for key in (signing, legacy_signing):
            # PyJWT only warns about a short key.
            if key is not None and len(key) < KEY_BYTES:
                raise ValueError(f"a signing key has at least {KEY_BYTES} bytes")
        self._signing = signing
        self._legacy_signing = legacy_signing

    def issue(self, account: UserId, email: str, session: UUID, *, now: datetime, lifetime: timedelta) -> str:
        """Return a token for `session`, valid from `now` (aware) for `lifetime`."""
        claims = {
            "user_id": str(account),
            "email": email,
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "jti": str(session),
        }
        return jwt.encode(claims, self._signing, algorithm=_ALGORITHM)

    def read(self, token: str) -> Claims:
        """Return the claims of a genuine, current token; raise `TokenRefused` for any other."""
        try:
            return _claims(token, self._signing, _CLAIMS)
        except TokenRefused as refusal:
            if refusal.has_ended or self._legacy_signing is None:
                raise
        return _claims(token, self._legacy_signing, _LEGACY_CLAIMS)


def _claims(token: str, signing: bytes, required: list[str]) -> Claims:
    try:
        claims = jwt.decode(token, signing, algorithms=[_ALGORITHM], options={"require": required})
        account = UserId(UUID(claims["user_id"]))
        session = UUID(claims["jti"]) if "jti" in required else legacy_session(account)
    except jwt.ExpiredSignatureError as error:
        raise TokenRefused(has_ended=True) from error
    except (jwt.InvalidTokenError, ValueError, AttributeError, TypeError) as error:
        raise TokenRefused from error
    return Claims(account, session)


def legacy_session(account: UserId) -> UUID:
    """Return the id of the one session that all legacy tokens of `account` share."""
    return uuid5(_LEGACY_SESSIONS, str(account))
