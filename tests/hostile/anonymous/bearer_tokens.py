"""Bearer tokens that give no right, and such that can't be read."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import jwt

from stackyn_server.api import request_handler
from stackyn_server.domain.ids import UserId
from stackyn_server.store import sessions
from tests.hostile.api_stage import ApiStage, let_in, shown
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is, without
from tests.hostile.forgeries import FORGED, GOOGLE, UNCURRENT, WITHOUT_SESSION, Forgery, decode_anything
from tests.patience import within

SIGN_IN, ENDED = "401 SIGN_IN_REQUIRED", "401 SESSION_ENDED"
HUGE = base64.urlsafe_b64encode(b'{"alg": "HS256", "x": ' + b"9" * 4500 + b"}").rstrip(b"=")


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
