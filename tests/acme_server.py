"""A certificate authority that speaks ACME (RFC 8555) over HTTPS on loopback, as far as one proxy needs it.

It is strict about what it stands for: signatures, nonces and URLs of requests are checked, and a name is proved by
TLS-ALPN-01 (RFC 8737) or HTTP-01 on the port it was given, before a certificate is issued.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

PROOF = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # acmeIdentifier
PROTOCOL = "acme-tls/1"
OVER_TLS, OVER_HTTP = "tls-alpn-01", "http-01"
VALID_DAYS = 90
PROOF_SECONDS = 5

Json = dict[str, Any]


@dataclass
class Order:
    host: str
    token: str
    thumbprint: str
    proved: bool = False
    refused: str = ""
    chain: str = ""


@dataclass
class AcmeServer:
    """`proof_port` is where names are proved, by `kind`; `issued` are the names that got a certificate."""

    port: int
    proof_port: int
    kind: str = OVER_TLS
    issued: list[str] = field(default_factory=list)
    _nonces: set[str] = field(default_factory=set)
    _accounts: list[Json] = field(default_factory=list)
    _orders: list[Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "An authority of a test")])
        self._authority = (
            _builder(name, self._key.public_key())
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def directory(self) -> str:
        return f"{self.url}/directory"

    @property
    def root(self) -> str:
        """The authority's own certificate, PEM."""
        return self._authority.public_bytes(serialization.Encoding.PEM).decode()

    async def start(self, folder: Path) -> None:
        """Serve, with a certificate of its own authority for `localhost`."""
        key = ec.generate_private_key(ec.SECP256R1())
        chain, private = folder / "authority.pem", folder / "authority.key"
        chain.write_text(self._sign("localhost", key.public_key()))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(chain, private)
        app = web.Application(middlewares=[self._with_nonce])
        app.router.add_get("/directory", self._directory)
        app.router.add_get("/nonce", self._nothing)
        for path, handler in (
            ("/account", self._account),
            ("/order", self._order),
            (r"/order/{number:\d+}", self._look_at_order),
            (r"/authorization/{number:\d+}", self._authorization),
            (r"/challenge/{number:\d+}", self._challenge),
            (r"/finalize/{number:\d+}", self._finalize),
            (r"/certificate/{number:\d+}", self._certificate),
        ):
            app.router.add_post(path, handler)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _with_nonce(self, request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = await handler(request)
        nonce = secrets.token_urlsafe(16)
        self._nonces.add(nonce)
        answer.headers["Replay-Nonce"] = nonce
        return answer

    async def _directory(self, _: web.Request) -> web.Response:
        places = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order"}
        return web.json_response({name: f"{self.url}/{place}" for name, place in places.items()})

    async def _nothing(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _account(self, request: web.Request) -> web.Response:
        protected, _ = await self._signed(request)
        self._accounts.append(protected["jwk"])
        location = f"{self.url}/account/{len(self._accounts) - 1}"
        return web.json_response({"status": "valid"}, status=201, headers={"Location": location})

    async def _order(self, request: web.Request) -> web.Response:
        protected, payload = await self._signed(request)
        (identifier,) = payload["identifiers"]
        thumbprint = _thumbprint(self._account_key(protected))
        self._orders.append(Order(identifier["value"], secrets.token_urlsafe(16), thumbprint))
        return self._order_answer(len(self._orders) - 1, status=201)

    async def _look_at_order(self, request: web.Request) -> web.Response:
        await self._signed(request)
        return self._order_answer(_number(request))

    def _order_answer(self, number: int, status: int = 200) -> web.Response:
        order = self._orders[number]
        state = "valid" if order.chain else "ready" if order.proved else "pending"
        body: Json = {
            "status": state,
            "identifiers": [{"type": "dns", "value": order.host}],
            "authorizations": [f"{self.url}/authorization/{number}"],
            "finalize": f"{self.url}/finalize/{number}",
        }
        if order.chain:
            body["certificate"] = f"{self.url}/certificate/{number}"
        return web.json_response(body, status=status, headers={"Location": f"{self.url}/order/{number}"})

    async def _authorization(self, request: web.Request) -> web.Response:
        await self._signed(request)
        number = _number(request)
        order = self._orders[number]
        status = "invalid" if order.refused else "valid" if order.proved else "pending"
        challenge: Json = {
            "type": self.kind,
            "url": f"{self.url}/challenge/{number}",
            "token": order.token,
            "status": status,
        }
        if order.refused:
            challenge["error"] = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": order.refused}
        identifier = {"type": "dns", "value": order.host}
        return web.json_response({"status": status, "identifier": identifier, "challenges": [challenge]})

    async def _challenge(self, request: web.Request) -> web.Response:
        await self._signed(request)
        number = _number(request)
        order = self._orders[number]
        ask: Callable[[Order], Awaitable[str]] = {OVER_TLS: self._over_tls, OVER_HTTP: self._over_http}[
            self.kind
        ]
        try:
            order.refused = await ask(order)
        except (OSError, TimeoutError) as error:
            order.refused = repr(error)
        order.proved = not order.refused
        body = {"type": self.kind, "url": str(request.url), "token": order.token, "status": "processing"}
        up = f'<{self.url}/authorization/{number}>;rel="up"'
        return web.json_response(body, headers={"Link": up})

    async def _over_http(self, order: Order) -> str:
        """Ask the name's server for the text that proves it (RFC 8555, section 8.3); return why it does not."""
        url = f"http://127.0.0.1:{self.proof_port}/.well-known/acme-challenge/{order.token}"
        async with (
            asyncio.timeout(PROOF_SECONDS),
            ClientSession() as session,
            session.get(url, headers={"Host": order.host}, allow_redirects=False) as answer,
        ):
            text = await answer.text()
        return "" if text.rstrip() == f"{order.token}.{order.thumbprint}" else f"it answers {text[:100]!r}"

    async def _over_tls(self, order: Order) -> str:
        """Ask the name's server for the certificate that proves it (RFC 8737, section 3); return why it does not."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols([PROTOCOL])
        async with asyncio.timeout(PROOF_SECONDS):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", self.proof_port, ssl=context, server_hostname=order.host
            )
        shown = writer.get_extra_info("ssl_object")
        certificate = x509.load_der_x509_certificate(shown.getpeercert(binary_form=True))
        agreed = shown.selected_alpn_protocol()
        writer.transport.abort()
        if agreed != PROTOCOL:
            return f"the server did not agree on {PROTOCOL}"
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        proof = certificate.extensions.get_extension_for_oid(PROOF)
        digest = hashlib.sha256(f"{order.token}.{order.thumbprint}".encode()).digest()
        assert isinstance(proof.value, x509.UnrecognizedExtension)
        if names.get_values_for_type(x509.DNSName) != [order.host] or not proof.critical:
            return "the certificate is not made for the proof"
        return "" if proof.value.value == b"\x04\x20" + digest else "the certificate proves something else"

    async def _finalize(self, request: web.Request) -> web.Response:
        _, payload = await self._signed(request)
        number = _number(request)
        order = self._orders[number]
        assert order.proved, "a certificate was asked for without a proof"
        csr = x509.load_der_x509_csr(_decoded(payload["csr"]))
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert csr.is_signature_valid and names.get_values_for_type(x509.DNSName) == [order.host]
        key = csr.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        order.chain = self._sign(order.host, key)
        self.issued.append(order.host)
        return self._order_answer(number)

    async def _certificate(self, request: web.Request) -> web.Response:
        await self._signed(request)
        chain = self._orders[_number(request)].chain
        return web.Response(text=chain, content_type="application/pem-certificate-chain")

    async def _signed(self, request: web.Request) -> tuple[Json, Json]:
        """Check a request as RFC 8555, section 6 says, and return its protected header and payload."""
        body = json.loads(await request.text())
        protected: Json = json.loads(_decoded(body["protected"]))
        assert protected["alg"] == "RS256", "another algorithm than that of the account's key"
        assert protected["url"] == f"{self.url}{request.path}"
        self._nonces.remove(protected["nonce"])
        key = protected["jwk"] if "jwk" in protected else self._account_key(protected)
        exponent, modulus = (int.from_bytes(_decoded(key[name])) for name in ("e", "n"))
        public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        signed = f"{body['protected']}.{body['payload']}".encode()
        public.verify(_decoded(body["signature"]), signed, padding.PKCS1v15(), hashes.SHA256())
        return protected, json.loads(_decoded(body["payload"]) or "{}")

    def _account_key(self, protected: Json) -> Json:
        return self._accounts[int(protected["kid"].rpartition("/")[2])]

    def _sign(self, host: str, key: ec.EllipticCurvePublicKey) -> str:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        certificate = (
            _builder(subject, key)
            .issuer_name(self._authority.subject)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode() + self.root


def _builder(subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _thumbprint(key: Json) -> str:
    """RFC 7638."""
    members = json.dumps({name: key[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
