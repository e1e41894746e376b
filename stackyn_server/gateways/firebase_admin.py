"""Creates accounts at Firebase with the project's service account.

The credential is the JSON file that Google issues for a service account. It is exchanged for an access token (RFC 7523,
scope `identitytoolkit`), and `projects.accounts` of the Identity Toolkit creates the account, as Firebase's own
administrative libraries do.
"""

from __future__ import annotations

import asyncio
import time

import jwt
import structlog
from pydantic import BaseModel, ValidationError

from stackyn_server.config import FirebaseSettings
from stackyn_server.errors import Conflict, InvalidRequest
from stackyn_server.gateways.firebase import FirebaseUnavailable, request_json
from stackyn_server.security.secret_files import SecretUnreadable, read_secret

log = structlog.get_logger("stackyn.firebase")

_ASSERTION_SECONDS = 600
_MARGIN_SECONDS = 60.0  # before a token expires, when the next one is requested
_SCOPE = "https://www.googleapis.com/auth/identitytoolkit"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TAKEN = "EMAIL_EXISTS"
_REFUSED = ("INVALID_EMAIL", "WEAK_PASSWORD", "INVALID_PASSWORD")


class _Credential(BaseModel):
    client_email: str
    private_key: str
    token_uri: str


class FirebaseAdmin:
    def __init__(self, settings: FirebaseSettings) -> None:
        self._settings = settings
        self._token = ""
        self._good_until = float("-inf")
        self._renewing = asyncio.Lock()

    @property
    def is_configured(self) -> bool:
        return bool(self._settings.project_id and self._settings.admin_credential_file)

    async def create(self, email: str, password: str) -> str:
        """Create an account with an unverified address, and return its uid.

        Raises `Conflict` for an address that has an account, `InvalidRequest`, and `FirebaseUnavailable`.
        """
        url = f"{self._settings.accounts_url}/projects/{self._settings.project_id}/accounts"
        headers = {"Authorization": f"Bearer {await self._access_token()}"}
        account = {"email": email, "password": password}
        status, body, _ = await request_json("POST", url, json=account, headers=headers)
        uid = body.get("localId")
        if status == 200 and isinstance(uid, str) and uid:
            return uid
        problem = body.get("error")
        reason = str(problem.get("message", "")) if isinstance(problem, dict) else ""
        if reason.startswith(_TAKEN):
            raise Conflict("Email already registered", code="EMAIL_TAKEN")
        if reason.startswith(_REFUSED):
            raise InvalidRequest("Firebase does not take this address and password.")
        log.warning("firebase.account_refused", status=status, reason=reason)
        raise FirebaseUnavailable

    async def _access_token(self) -> str:
        async with self._renewing:
            if time.monotonic() >= self._good_until:
                await self._renew()
            return self._token

    async def _renew(self) -> None:
        credential = await asyncio.to_thread(_read, self._settings.admin_credential_file)
        now = int(time.time())
        claims = {"iss": credential.client_email, "scope": _SCOPE, "aud": credential.token_uri,
                  "iat": now, "exp": now + _ASSERTION_SECONDS}  # fmt: skip
        try:
            assertion = jwt.encode(claims, credential.private_key, algorithm="RS256")
        except (ValueError, jwt.InvalidKeyError) as error:
            log.warning("firebase.credential_unusable")
            raise FirebaseUnavailable from error
        form = {"grant_type": _GRANT, "assertion": assertion}
        status, body, _ = await request_json("POST", credential.token_uri, data=form)
        token, lifetime = body.get("access_token"), body.get("expires_in")
        if status != 200 or not isinstance(token, str) or not isinstance(lifetime, int):
            log.warning("firebase.token_refused", status=status)
            raise FirebaseUnavailable
        self._token, self._good_until = token, time.monotonic() + lifetime - _MARGIN_SECONDS


def _read(path: str) -> _Credential:
    try:
        return _Credential.model_validate_json(read_secret(path, "[auth.firebase] admin_credential_file"))
    except (SecretUnreadable, ValidationError) as error:
        log.warning("firebase.credential_unreadable", path=path)
        raise FirebaseUnavailable from error
