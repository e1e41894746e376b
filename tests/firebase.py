"""Firebase's two endpoints that matter, as a double: the certificates of ID tokens, and the look-up of a user."""

from __future__ import annotations

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
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

PROJECT = "stackyn-test"
HOUR = timedelta(hours=1)
ADDRESS = "fire@example.test"


def certificate(key: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "securetoken.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - HOUR, now + HOUR)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


@dataclass
class Google:
    """The two endpoints that matter: certificates and the look-up of a user's state."""

    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    verified: set[str] = field(default_factory=set)
    asked: int = 0
    is_away: bool = False
    max_age: int = 3600

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
        return web.json_response({"users": [{"emailVerified": claims["sub"] in self.verified}]})

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
    async with TestServer(app) as server:
        yield (
            service,
            {
                "project_id": PROJECT,
                "web_api_key": "web-key",
                "certificates_url": str(server.make_url("/certificates")),
                "lookup_url": str(server.make_url("/lookup")),
            },
        )
