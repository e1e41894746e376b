"""What a client without an account tries on the API."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import re
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import jwt

from stackyn_server import config
from stackyn_server.api import failures, reference, request_handler
from stackyn_server.api.endpoint import Access
from stackyn_server.api.endpoints import ENDPOINTS
from stackyn_server.domain.ids import UserId
from stackyn_server.store import sessions
from tests.contract.billing.provider import SECRET as WEBHOOK_SECRET
from tests.contract.billing.provider import ProviderSubscription, deliver, signature
from tests.contract.conftest import OPERATORS_TOKEN, PASSWORD
from tests.contract.endpoint_calls import call
from tests.hostile.api_stage import ApiStage, let_in, moved, said, shown, things_of, with_settings
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is, without
from tests.hostile.forgeries import FORGED, GOOGLE, UNCURRENT, WITHOUT_SESSION, Forgery, decode_anything
from tests.patience import within

Row = Attempt[ApiStage]

SIGN_IN, ENDED = "401 SIGN_IN_REQUIRED", "401 SESSION_ENDED"
EVIL = "https://evil.example.test"

HUGE = base64.urlsafe_b64encode(b'{"alg": "HS256", "x": ' + b"9" * 4500 + b"}").rstrip(b"=")

_numbers = itertools.count(1)


# Bearer tokens


def _with(forge: Forgery) -> Tries[ApiStage]:
    async def read(stage: ApiStage) -> Got:
        return shown(await stage.holding(await forge(stage)).get(stage.environment))

    return read


def _by_google(name: str) -> Tries[ApiStage]:
    async def sign_in(stage: ApiStage) -> Got:
        return let_in(await stage.holding(GOOGLE[name](stage.google)).get("/api/user/me"))

    return sign_in


async def _genuine(stage: ApiStage) -> Got:
    return let_in(await stage.holding(stage.google.token()).get("/api/user/me"))


_identify = sessions.identify


async def _identify_by_account(connection: Any, _session: Any, account: UserId) -> Any:
    """Take a session of the account instead of the one that the token names."""
    living = "SELECT id FROM session WHERE account = $1 AND ended_at IS NULL LIMIT 1"
    return await _identify(connection, await connection.fetchval(living, account), account)


UNCHECKED: Open[ApiStage] = Open("a server that checks no token", without((jwt, "decode", decode_anything)))
WITHOUT_SESSIONS: Open[ApiStage] = Open(
    "a server that asks for no session", without((sessions, "identify", _identify_by_account))
)
GENUINE: Open[ApiStage] = Open("a genuine token", as_it_is)
TOKENS = [
    *(Attempt(f"forged token: {name}", _with(forge), SIGN_IN, UNCHECKED) for name, forge in FORGED.items()),
    *(Attempt(f"old token: {name}", _with(forge), "401", UNCHECKED) for name, forge in UNCURRENT.items()),
    *(
        Attempt(f"token {name}", _with(forge), ENDED, WITHOUT_SESSIONS)
        for name, forge in WITHOUT_SESSION.items()
    ),
    *(Attempt(f"Firebase token: {name}", _by_google(name), "401", GENUINE, _genuine) for name in GOOGLE),
]


# Endpoints without a token


def _without_token(access: Access) -> Row:
    """Each endpoint of this kind, with nothing in its headers, and as whoever may."""
    endpoints = [endpoint for endpoint in ENDPOINTS if endpoint.access is access]
    is_for_admins = access in (Access.ADMIN, Access.OPERATOR)

    async def everywhere(stage: ApiStage, may: bool = False) -> Got:
        passed, last = [], ""
        owner, theirs = stage.owner, stage.theirs
        for endpoint in endpoints:
            if may:
                owner = await stage.platform.person(is_admin=is_for_admins)
                theirs = await things_of(owner)
                await owner.post(f"/api/v1/deployments/{theirs['deployment']}/cancel")
            answer = await call(owner if may else stage.platform.nobody, endpoint, theirs)
            last = said(answer)
            if answer.status not in (401, 403):
                passed.append(endpoint.name)
        return Got(len(passed) == len(endpoints) if may else bool(passed), f"{passed or ''} {last}")

    return Attempt(
        f"{len(endpoints)} endpoints of access {access.name}, without a token",
        everywhere,
        SIGN_IN,
        Open("as an administrator" if is_for_admins else "as the owner", as_it_is),
        partial(everywhere, may=True),
    )


def _figures(token: str) -> Tries[ApiStage]:
    async def scrape(stage: ApiStage) -> Got:
        return shown(await stage.holding(token).get("/metrics"), "stackyn_requests_total")

    return scrape


async def _token_in_the_address(stage: ApiStage) -> Got:
    """Only a WebSocket takes it from there: addresses are logged by proxies."""
    return shown(await stage.platform.nobody.get(f"{stage.environment}?token={stage.owner.token}"))


async def _token_in_the_header(stage: ApiStage) -> Got:
    return shown(await stage.owner.get(stage.environment))


def _around(path: str, **headers: str) -> Tries[ApiStage]:
    async def ask(stage: ApiStage) -> Got:
        answer = await stage.attacker.get(
            path, headers={name.replace("_", "-"): headers[name] for name in headers}
        )
        return shown(answer, '"users"')

    return ask


async def _as_administrator(stage: ApiStage) -> Got:
    return shown(await (await stage.platform.person(is_admin=True)).get("/admin/users"), '"users"')


AROUND = {
    "/admin/users": {},
    "/%2Fadmin/users": {},
    "/./admin/users": {},
    "/ADMIN/users": {},
    "/admin%2Fusers": {},
    "/admin/users%00": {},
    "/admin/users;x=1": {},
    "/docs/../admin/users": {},
    "/docs/%2e%2e/admin/users": {},
    "/health?x=/admin/users": {"X_Original_URL": "/admin/users", "X_Rewrite_URL": "/admin/users"},
    "/health": {"X_HTTP_Method_Override": "GET", "X_Forwarded_Prefix": "/admin/users"},
}
ENDPOINTS_WITHOUT_TOKEN = [
    *(_without_token(access) for access in Access if access is not Access.PUBLIC),
    Attempt(
        "token in an address",
        _token_in_the_address,
        SIGN_IN,
        Open("in the header", as_it_is),
        _token_in_the_header,
    ),
    *(
        Attempt(
            f"pages of administrators by way of {path}" + (" and headers" if headers else ""),
            _around(path, **headers),
            "",
            Open("as an administrator", as_it_is),
            _as_administrator,
        )
        for path, headers in AROUND.items()
    ),
    *(
        Attempt(
            f"figures of the server with the token {token!r}",
            _figures(token),
            SIGN_IN,
            Open("with the operator's token", as_it_is),
            _figures(OPERATORS_TOKEN),
        )
        for token in ("x", OPERATORS_TOKEN[:-1], OPERATORS_TOKEN.upper())
    ),
]


# What can't be read


async def _status_of(stage: ApiStage, request: bytes) -> Got:
    """Success is an error of ours, or no answer at all."""
    reader, writer = await asyncio.open_connection(stage.platform.client.host, stage.platform.client.port)
    writer.write(request)
    try:
        async with within(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, TimeoutError) as error:
        head = repr(error)
    writer.transport.abort()
    status = head.removeprefix("HTTP/1.1 ")[:3]
    return Got(not status.isdecimal() or int(status) >= 500, head.partition("\r\n")[0])


def _unreadable(path: bytes, *headers: bytes) -> Tries[ApiStage]:
    async def ask(stage: ApiStage) -> Got:
        return await _status_of(
            stage, b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: api", *headers, b"", b""])
        )

    return ask


def _failing(*_: object) -> str:
    raise UnicodeError("an open variant")


FAILING: Open[ApiStage] = Open(
    "a reader of tokens that fails on them",
    without((request_handler, "identify", _failing), (request_handler, "bearer_token", _failing)),
)
UNREADABLE = [
    Attempt(f"making the server fail by {name}", _unreadable(path, *headers), "HTTP/1.1 4", FAILING)
    for name, path, *headers in (
        ("a token that is no text", b"/api/user/me", b"Authorization: Bearer \xff\xfe"),
        ("a JWT that is no text", b"/api/user/me", b"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.\xff.\xff"),
        ("an access token that is no text", b"/api/user/me", b"Authorization: Bearer stk_\xff"),
        ("an operator's token that is no text", b"/metrics", b"Authorization: Bearer \xff"),
        ("a socket's token that is no text", b"/ws/build-status?app_id=1&token=%ff"),
        ("a socket's access token that is no text", b"/ws/build-status?app_id=1&token=stk_%ff"),
        (
            "a socket's protocol that is no text",
            b"/ws/build-status?app_id=1",
            b"Sec-WebSocket-Protocol: \xff",
        ),
        (
            "a JWT whose head is nested",
            b"/api/user/me",
            b"Authorization: Bearer " + b"W1tb" * 1000 + b".e30.e30",
        ),
        (
            "a JWT with a number of 4,000 digits",
            b"/api/user/me",
            b"Authorization: Bearer " + HUGE + b".e30.e30",
        ),
    )
]


# Bodies


def _logs_in_with(body: bytes, **headers: str) -> Tries[ApiStage]:
    """Success is that it is read as a sign-in of an unknown address."""

    async def post(stage: ApiStage) -> Got:
        answer = await stage.platform.nobody.post("/api/auth/login", data=io.BytesIO(body), headers=headers)
        return Got(answer.status == 401, said(answer))

    return post


LOGIN = b'{"email": "nobody@example.test", "password": "xxxxxxxx"%s}'
COMPRESSED = zlib.compress(LOGIN % (b" " * 20_000_000), 9)
ROOMY: Open[ApiStage] = Open(
    "with a higher limit",
    with_settings(lambda: {"server": config.ServerSettings(body_limit_bytes=100_000_000)}),
)
BODIES = [
    Attempt("a body above the limit", _logs_in_with(LOGIN % (b" " * 2_000_000)), "413 BODY_TOO_LARGE", ROOMY),
    Attempt(
        "20 MB in 20 kB of compressed body",
        _logs_in_with(COMPRESSED, **{"Content-Encoding": "deflate"}),
        "413 BODY_TOO_LARGE",
        ROOMY,
    ),
    Attempt(
        "a body nested 50,000 times",
        _logs_in_with(LOGIN % (b', "x": ' + b"[" * 50_000 + b"]" * 50_000)),
        "400 INVALID_JSON",
        Open("nested a hundred times", as_it_is),
        _logs_in_with(LOGIN % (b', "x": ' + b"[" * 100 + b"]" * 100)),
    ),
]


# What a browser is told


def _readable_from(origin: str) -> Tries[ApiStage]:
    """Success is that a page of this origin may read the answer (Fetch standard, CORS check)."""

    async def ask(stage: ApiStage) -> Got:
        answer = await stage.platform.nobody.get("/api/apps", headers={"Origin": origin})
        allowed = answer.headers["Access-Control-Allow-Origin"]
        return Got(allowed in ("*", origin), f"for {allowed}")

    return ask


async def _with_cookies(stage: ApiStage) -> Got:
    answer = await stage.platform.nobody.get("/api/apps", headers={"Origin": EVIL, "Cookie": "session=1"})
    allowed = answer.headers.get("Access-Control-Allow-Credentials", "not with cookies")
    return Got(allowed == "true", allowed)


OUR_PAGE = "https://console.example.test"
ORIGINS = (
    EVIL,
    "null",
    f"{OUR_PAGE}.evil.example.test",
    "http://console.example.test",
    f"{OUR_PAGE}:8443",
    "https://CONSOLE.example.test",
)


@asynccontextmanager
async def closed_to_other_pages(stage: ApiStage) -> AsyncIterator[ApiStage]:
    public = config.PublicSettings(allowed_origins=(OUR_PAGE,))
    yield moved(stage, await stage.launch(public=public))


def _of(path: str, allows: str) -> Tries[ApiStage]:
    """Success is a content policy under which `allows` would be loaded or run (CSP level 3)."""

    async def ask(stage: ApiStage) -> Got:
        answer = await stage.platform.nobody.get(path)
        policy = dict(
            (words[0], words[1:])
            for part in answer.headers.get("Content-Security-Policy", "").split(";")
            if (words := part.split())
        )
        scripts = policy.get("script-src", policy.get("default-src", [allows]))
        is_written = EVIL in answer.text or "<script>alert" in answer.text
        return Got(allows in scripts or "*" in scripts or is_written, f"script-src {' '.join(scripts)}")

    return ask


UNGUARDED: Open[ApiStage] = Open(
    "without a content policy",
    with_settings(lambda: {"public": config.PublicSettings()}),
)


async def _framed(stage: ApiStage) -> Got:
    policy = (await stage.platform.nobody.get("/docs")).headers.get("Content-Security-Policy", "")
    return Got("frame-ancestors 'none'" not in policy, policy)


@asynccontextmanager
async def without_content_policy(stage: ApiStage) -> AsyncIterator[ApiStage]:
    async with without((reference, "_CONTENT_POLICY", ""))(stage):
        yield moved(stage, await stage.launch())


NO_POLICY: Open[ApiStage] = Open("without a content policy", without_content_policy)
EVERY_PAGE: Open[ApiStage] = Open('allowed_origins = ["*"]', with_settings(lambda: {}))
BROWSER = [
    *(
        Attempt(f"a page of {origin} reads answers", _readable_from(origin), f"for {OUR_PAGE}", EVERY_PAGE)
        for origin in ORIGINS
    ),
    Attempt(
        "scripts in /docs: one that is written into the page",
        _of("/docs?url=" + EVIL + "#<script>alert(1)", "'unsafe-inline'"),
        "script-src 'self'",
        NO_POLICY,
    ),
    Attempt(
        "scripts in /docs: one of another host",
        _of(f"/docs?configUrl={EVIL}/config.json", EVIL),
        "script-src 'self'",
        NO_POLICY,
    ),
    Attempt(
        "scripts in /docs: text that becomes code",
        _of("/docs", "'unsafe-eval'"),
        "script-src 'self'",
        NO_POLICY,
    ),
    Attempt("/docs in the frame of another page", _framed, "frame-ancestors 'none'", NO_POLICY),
]


async def _reflected(stage: ApiStage) -> Got:
    harm = "<script>alert(1)</script>"
    answer = await stage.platform.nobody.get(f"/nothing/{harm}?x={harm}", headers={"X-Request-Id": harm})
    is_html = not answer.headers["Content-Type"].startswith("application/json")
    return Got(harm in answer.text + str(answer.headers) or is_html, said(answer))


async def _cookies(stage: ApiStage) -> Got:
    """Success is any answer that a browser would show as a page of the API's host with the visitor's text."""
    answer = await stage.platform.nobody.get("/api/apps", headers={"Cookie": f"token={stage.owner.token}"})
    return let_in(answer)


BROWSER += [
    Attempt(
        "text of a request in an error page",
        _reflected,
        "404 NOT_FOUND",
        Open("with its id taken as it is", without((failures, "_GIVEN_REQUEST_ID", re.compile(".*")))),
    ),
    Attempt(
        "a token in a cookie, which other pages would send",
        _cookies,
        SIGN_IN,
        Open("in the header", as_it_is),
        _token_in_the_header,
    ),
]


# Webhooks of the payment provider


@asynccontextmanager
async def selling(stage: ApiStage) -> AsyncIterator[ApiStage]:
    """A server where plans are sold, with a free account that would have one."""
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write(WEBHOOK_SECRET)
        secret.flush()
        billing = config.BillingSettings(
            provider="lemonsqueezy", variants={"103": "pro"}, webhook_secret_file=secret.name
        )
        yield moved(stage, await stage.launch(billing=billing))


def _pays_with(sign: Callable[[bytes], dict[str, str]]) -> Tries[ApiStage]:
    """Success is a plan that nobody paid for."""

    async def pay(stage: ApiStage) -> Got:
        customer = await stage.platform.person(plan="free")
        subscription = ProviderSubscription(stage.platform.nobody, customer.email, user_id=str(customer.id))
        body = subscription.event("subscription_created", "active")
        answer = await stage.platform.nobody.post(
            "/api/webhooks/lemon-squeezy", data=body, headers=sign(body)
        )
        plan = (await customer.get("/api/user/me")).json["plan"]
        return Got(plan == "pro", said(answer))

    return pay


async def _replayed(stage: ApiStage) -> Got:
    """A genuine event of a subscription that has expired since, once more."""
    customer = await stage.platform.person(plan="free")
    subscription = ProviderSubscription(stage.platform.nobody, customer.email)
    body = subscription.event("subscription_created", "active")
    await deliver(stage.platform.nobody, body)
    await subscription.tell("subscription_expired", "expired", ends_at="2026-01-01T00:00:00.000000Z")
    answer = await deliver(stage.platform.nobody, body)
    status = (await customer.get("/api/user/me")).json["billing_status"]
    return Got(status != "expired", f"{said(answer)}: {status}")


def _signed(**headers: str) -> Callable[[bytes], dict[str, str]]:
    return lambda _body: {name.replace("_", "-"): value for name, value in headers.items()}


SIGNATURES: dict[str, Callable[[bytes], dict[str, str]]] = {
    "no signature": _signed(),
    "an empty one": _signed(X_Signature=""),
    "an empty one with the name of its digest": _signed(X_Signature="sha256="),
    "that of an empty secret": lambda body: {"X-Signature": signature(body, "")},
    "that of another secret": lambda body: {"X-Signature": signature(body, "guessed")},
    "that of another body": lambda body: {"X-Signature": signature(body + b" ")},
    "half of the right one": lambda body: {"X-Signature": signature(body)[:32]},
}
RIGHTLY_SIGNED: Open[ApiStage] = Open("with the right signature", as_it_is)
WEBHOOKS = [
    *(
        Attempt(
            f"a payment's webhook with {name}",
            _pays_with(sign),
            SIGN_IN,
            RIGHTLY_SIGNED,
            _pays_with(lambda body: {"X-Signature": signature(body)}),
        )
        for name, sign in SIGNATURES.items()
    ),
    Attempt(
        "a payment's webhook from before the cancellation",
        _replayed,
        "200",
        RIGHTLY_SIGNED,
        _pays_with(lambda body: {"X-Signature": signature(body)}),
    ),
]


# Guessing and taking over

RATES = config.RatesSettings(authentication_per_account="3/day", authentication_per_address="12/day")
FREE_RATES = config.RatesSettings(
    authentication_per_account="10000/minute", authentication_per_address="10000/minute"
)


@asynccontextmanager
async def rated(stage: ApiStage) -> AsyncIterator[ApiStage]:
    """A server of its own counters, with codes in its answers."""
    yield moved(stage, await stage.launch(rates=RATES, auth=CODES))


CODES = config.AuthSettings(development_codes=True, code_cooldown_seconds=0.001)
UNRATED: Open[ApiStage] = Open(
    "without limits",
    with_settings(
        lambda: {
            "rates": FREE_RATES,
            "auth": config.AuthSettings(
                development_codes=True, code_cooldown_seconds=0.001, code_attempts=99
            ),
        }
    ),
)


async def _guess_password(stage: ApiStage) -> Got:
    """Four wrong ones, then the right one."""
    victim = await stage.platform.person()
    for guess in [*(f"guess {number}" for number in range(4)), PASSWORD]:
        answer = await stage.platform.nobody.post(
            "/api/auth/login", json={"email": victim.email, "password": guess}
        )
    return let_in(answer)


async def _guess_password_by_names(stage: ApiStage) -> Got:
    """The same, with the victim's address written in four ways."""
    victim = await stage.platform.person()
    spellings = [victim.email.upper()[:letters] + victim.email[letters:] for letters in range(1, 5)]
    for email, password in [*((spelling, "guess") for spelling in spellings), (victim.email, PASSWORD)]:
        body = {"email": f" {email} ", "password": password}
        answer = await stage.platform.nobody.post("/api/auth/login", json=body)
    return let_in(answer)


def _guess_code(path: str, send: str) -> Tries[ApiStage]:
    async def guess(stage: ApiStage) -> Got:
        victim = await stage.platform.person()
        code = (await stage.platform.nobody.post(send, json={"email": victim.email})).json["otp"]
        wrong = [f"{(int(code) + step) % 10**6:06}" for step in range(1, 9)]
        for tried in [*wrong, code]:
            body = {"email": victim.email, "otp": tried, "password": "another password"}
            answer = await stage.platform.nobody.post(path, json=body)
        return let_in(answer)

    return guess


async def _from_many_addresses(stage: ApiStage) -> Got:
    """Sign-ins of fifteen accounts, each from an address that the client claims to have. The last is what the ingress
    saw, as it adds it."""
    for number in range(15):
        headers = {
            "X-Forwarded-For": f"198.51.100.{number}, 203.0.113.9",
            "X-Real-IP": f"198.51.100.{number}",
        }
        body = {"email": f"sprayed-{number}@example.test", "otp": "000000"}
        answer = await stage.platform.nobody.post("/api/auth/verify-otp", json=body, headers=headers)
    return Got(answer.status == 401, said(answer))


async def _squat(stage: ApiStage) -> Got:
    """Sign up with somebody's address, and wait until its owner proves it: does the squatter's sign-in last?"""
    email = f"squatted-{next(_numbers)}@example.test"
    squatter = await stage.platform.nobody.post(
        "/api/auth/signup", json={"email": email, "password": PASSWORD}
    )
    code = (await stage.platform.nobody.post("/api/auth/send-otp", json={"email": email})).json["otp"]
    proved = await stage.platform.nobody.post("/api/auth/verify-otp", json={"email": email, "otp": code})
    assert proved.status == 200, proved.text
    token = await stage.holding(squatter.json["token"]).get("/api/user/me")
    password = await stage.platform.nobody.post(
        "/api/auth/login", json={"email": email, "password": PASSWORD}
    )
    return Got(token.status == 200 or password.status == 200, said(token))


async def _squat_unproven(stage: ApiStage) -> Got:
    email = f"squatted-{next(_numbers)}@example.test"
    squatter = await stage.platform.nobody.post(
        "/api/auth/signup", json={"email": email, "password": PASSWORD}
    )
    return let_in(await stage.holding(squatter.json["token"]).get("/api/user/me"))


async def _use_code_twice(stage: ApiStage) -> Got:
    victim = await stage.platform.person()
    code = (await stage.platform.nobody.post("/api/auth/send-otp", json={"email": victim.email})).json["otp"]
    body = {"email": victim.email, "otp": code}
    assert (await stage.platform.nobody.post("/api/auth/verify-otp", json=body)).status == 200
    return let_in(await stage.platform.nobody.post("/api/auth/verify-otp", json=body))


async def _use_code_once(stage: ApiStage) -> Got:
    victim = await stage.platform.person()
    code = (await stage.platform.nobody.post("/api/auth/send-otp", json={"email": victim.email})).json["otp"]
    return let_in(
        await stage.platform.nobody.post("/api/auth/verify-otp", json={"email": victim.email, "otp": code})
    )


async def _code_of_other_purpose(stage: ApiStage) -> Got:
    victim = await stage.platform.person()
    sent = await stage.platform.nobody.post("/api/auth/forgot-password", json={"email": victim.email})
    body = {"email": victim.email, "otp": sent.json["otp"]}
    return let_in(await stage.platform.nobody.post("/api/auth/verify-otp", json=body))


async def _code_in_the_answer(stage: ApiStage) -> Got:
    answer = await stage.platform.nobody.post("/api/auth/send-otp", json={"email": "code@example.test"})
    return Got("otp" in answer.json, said(answer))


def _tells_accounts_apart(path: str, **body: str) -> Tries[ApiStage]:
    """Success is an answer for an address with an account that differs from the one for an address without."""

    async def ask(stage: ApiStage) -> Got:
        known = await stage.platform.person()
        same = {"X-Request-Id": "one-and-the-same"}
        answers = [
            await stage.platform.nobody.post(path, json={"email": email, **body}, headers=same)
            for email in (known.email, f"unknown-{next(_numbers)}@example.test")
        ]
        seen = [(answer.status, answer.json) for answer in answers]
        return Got(seen[0] != seen[1], said(answers[0]))

    return ask


SAME_SERVER: Open[ApiStage] = Open("by its owner", as_it_is)
GUESSING = [
    Attempt("guessing a password", _guess_password, "429 RATE_LIMITED", UNRATED),
    Attempt(
        "guessing a password, the address in many spellings",
        _guess_password_by_names,
        "429 RATE_LIMITED",
        UNRATED,
    ),
    Attempt(
        "guessing a sign-in code", _guess_code("/api/auth/verify-otp", "/api/auth/send-otp"), "429", UNRATED
    ),
    Attempt(
        "guessing a code for a new password",
        _guess_code("/api/auth/reset-password", "/api/auth/forgot-password"),
        "429",
        UNRATED,
    ),
    Attempt(
        "claiming many addresses to the rate limit",
        _from_many_addresses,
        "429 RATE_LIMITED",
        Open(
            "behind a trusted proxy",
            with_settings(
                lambda: {
                    "rates": RATES,
                    "ingress": config.IngressSettings(trusted_proxies=("203.0.113.0/24",)),
                }
            ),
        ),
    ),
    Attempt(
        "signing up with somebody's address and waiting",
        _squat,
        ENDED,
        Open("until its owner proves it", as_it_is),
        _squat_unproven,
    ),
    Attempt(
        "a code for the second time",
        _use_code_twice,
        "401 CODE_INVALID",
        Open("for the first time", as_it_is),
        _use_code_once,
    ),
    Attempt(
        "signing in with a code for a new password",
        _code_of_other_purpose,
        "401 CODE_INVALID",
        Open("with a code for that", as_it_is),
        _use_code_once,
    ),
]
UNTOLD = [
    Attempt(
        "a code in the answer",
        _code_in_the_answer,
        "200",
        Open("development_codes = true", with_settings(lambda: {"auth": CODES})),
    ),
    Attempt(
        "learning who has an account: sign-in",
        _tells_accounts_apart("/api/auth/login", password="guessed guess"),
        "401",
        Open("sign-in with the password", as_it_is),
        _tells_accounts_apart("/api/auth/login", password=PASSWORD),
    ),
    Attempt(
        "learning who has an account: sign-in code",
        _tells_accounts_apart("/api/auth/send-otp"),
        "200",
        Open("sign-up, which has to say so", as_it_is),
        _tells_accounts_apart("/api/auth/signup", password=PASSWORD),
    ),
    Attempt(
        "learning who has an account: forgotten password",
        _tells_accounts_apart("/api/auth/forgot-password"),
        "200",
        Open("sign-up, which has to say so", as_it_is),
        _tells_accounts_apart("/api/auth/signup", password="another password"),
    ),
]
