"""Firebase as far as this server asks it, as a double: certificates of ID tokens, users looked up, users made."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PROJECT = "stackyn-test"
SERVICE_ACCOUNT = "admin@stackyn-test.iam.gserviceaccount.test"
HOUR = timedelta(hours=1)
ADDRESS = "fire@example.test"


def certificate(key: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "securetoken.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - HOUR, now + HOUR)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


@dataclass
class Google:
    """Certificates, the look-up of a user's state, tokens of a service account, and the accounts it makes."""

    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    verified: set[str] = field(default_factory=set)
    moved: dict[str, str] = field(default_factory=dict)  # address that a user has by now
    asked: int = 0
    is_away: bool = False
    max_age: int = 3600
    service_key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    accounts: dict[str, str] = field(default_factory=dict)  # password by address
    tokens_given: int = 0
    refusal: str = ""  # of every account asked for

    def new_key(self, name: str) -> None:
        self.keys[name] = rsa.generate_private_key(65537, 2048)

    async def certificates(self, _request: web.Request) -> web.Response:
        self.asked += 1
        if self.is_away:
            return web.Response(status=503)
        published = {name: certificate(key) for name, key in self.keys.items()}
        return web.json_response(published, headers={"Cache-Control": f"public, max-age={self.max_age}"})

    async def lookup(self, request: web.Request) -> web.Response:
        assert request.query["key"] == "web-key"
        claims = jwt.decode((await request.json())["idToken"], options={"verify_signature": False})
        user = {"localId": claims["sub"], "email": self.moved.get(claims["sub"], claims["email"]),
                "emailVerified": claims["sub"] in self.verified}  # fmt: skip
        return web.json_response({"kind": "identitytoolkit#GetAccountInfoResponse", "users": [user]})

    async def access_token(self, request: web.Request) -> web.Response:
        """RFC 7523: a signed assertion becomes an access token."""
        if self.is_away:
            return web.Response(status=503)
        form = await request.post()
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        claims = jwt.decode(
            str(form["assertion"]), self.service_key.public_key(), algorithms=["RS256"],
            audience=str(request.url), issuer=SERVICE_ACCOUNT, options={"require": ["iat", "exp"]},
        )  # fmt: skip
        assert claims["scope"].endswith("/auth/identitytoolkit")
        self.tokens_given += 1
        return web.json_response({"access_token": "of-service", "expires_in": 3599, "token_type": "Bearer"})

    async def make_account(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer of-service"
        assert request.match_info["project"] == PROJECT
        account = await request.json()
        refusal = "EMAIL_EXISTS" if account["email"] in self.accounts else self.refusal
        if refusal:
            return web.json_response({"error": {"code": 400, "message": refusal}}, status=400)
        self.accounts[account["email"]] = account["password"]
        return web.json_response({"localId": f"uid-{account['email']}", "email": account["email"]})

    def credential(self, token_uri: str) -> str:
        """The JSON file of the service account."""
        key = self.service_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return json.dumps(
            {"type": "service_account", "project_id": PROJECT, "client_email": SERVICE_ACCOUNT,
             "private_key": key, "token_uri": token_uri}
        )  # fmt: skip

    @staticmethod
    def email_of(token: str) -> str:
        return str(jwt.decode(token, options={"verify_signature": False})["email"])

    def token(self, *, key: str = "first", headers: dict[str, Any] | None = None, **changes: Any) -> str:
        now = datetime.now(UTC)
        claims = {"iss": f"https://securetoken.google.com/{PROJECT}", "aud": PROJECT, "sub": "uid-1", "iat": now,
                  "auth_time": int(now.timestamp()), "exp": now + HOUR, "email": ADDRESS, "email_verified": True,
                  **changes}  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.keys[key], algorithm="RS256", headers={"kid": key, **(headers or {})})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Google, dict[str, str]]]:
    """The double on a port of its own, and the `[auth.firebase]` that leads to it."""
    service = Google()
    service.new_key("first")
    app = web.Application()
    app.router.add_get("/certificates", service.certificates)
    app.router.add_post("/lookup", service.lookup)
    app.router.add_post("/token", service.access_token)
    app.router.add_post("/v1/projects/{project}/accounts", service.make_account)
    async with TestServer(app) as server:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(service.credential(str(server.make_url("/token"))))
            file.flush()
            yield (
                service,
                {
                    "project_id": PROJECT,
                    "web_api_key": "web-key",
                    "certificates_url": str(server.make_url("/certificates")),
                    "lookup_url": str(server.make_url("/lookup")),
                    "admin_credential_file": file.name,
                    "accounts_url": str(server.make_url("/v1")),
                },
            )
