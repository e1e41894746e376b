"""Send an app the request that the ingress would pass on from a visitor, to its address and from outside its container.

The image needs nothing for it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address

import aiohttp

from stackyn_server.config import PublicSettings
from stackyn_server.domain.apps import Protocol

_CONNECT_SECONDS = 2.0
_BODY_SECONDS = 2.0
_BODY_BYTES = 65_536
_LINE_LENGTH = 200
_TAG = re.compile(r"<[^>]*>")
_OUR_ADDRESS = "127.0.0.1"
_USER_AGENT = "Stackyn-Health"
# As browsers ask for a page: servers of single-page apps answer other requests for it with 404.
ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.8"
_USUAL_PORTS = {"http": 80, "https": 443}

# RFC 9113, section 3.4: the client's preface and its settings, here none; the server's first frame is its settings.
_H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_H2_FRAME_HEAD, _H2_FRAME_TYPE, _H2_SETTINGS = 9, 3, 4


@dataclass(frozen=True, slots=True)
class Visitor:
    """The visitor whose request a probe imitates: one who asks for `host` at the public `scheme` and `port`."""

    host: str
    scheme: str = "http"
    port: int = 80

    @classmethod
    def of(cls, public: PublicSettings, slug: str) -> Visitor:
        port = public.port or _USUAL_PORTS[public.scheme]
        return cls(f"{slug}.{public.base_domain}", public.scheme, port)

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Host": self.host,
            "X-Forwarded-For": _OUR_ADDRESS,
            "X-Forwarded-Host": self.host,
            "X-Forwarded-Port": str(self.port),
            "X-Forwarded-Proto": self.scheme,
            "X-Real-Ip": _OUR_ADDRESS,
            "User-Agent": _USER_AGENT,
            "Accept": ACCEPT,
        }


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """The result of a request on a connection that was accepted.

    `speaks_protocol`: the answer is in the app's protocol; `status` is None where the protocol has none (h2c).
    `location` is the target of a redirect, `last_line` the last line of an error's body, for people.
    """

    speaks_protocol: bool
    status: int | None = None
    location: str = ""
    last_line: str = ""

    @property
    def is_success(self) -> bool:
        return self.speaks_protocol and (
            self.status is None or HTTPStatus.OK <= self.status < HTTPStatus.BAD_REQUEST
        )

    @property
    def description(self) -> str:
        """The status with its name, as in `404 Not Found`."""
        if self.status is None:
            return "HTTP/2" if self.speaks_protocol else "nothing"
        return describe_status(self.status)


def describe_status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


async def send_probe(
    address: IPv4Address,
    port: int,
    path: str,
    visitor: Visitor,
    *,
    protocol: Protocol = "http",
    timeout_seconds: float,
) -> ProbeReply | None:
    """GET `path` as `visitor`, without following redirects. Return None when no connection is accepted.

    An h2c app gets the client's preface instead: every HTTP/2 server answers it with its settings at once.
    """
    if protocol == "h2c":
        return await _ask_h2c(address, port, timeout_seconds)
    timeout = aiohttp.ClientTimeout(
        total=timeout_seconds, sock_connect=min(_CONNECT_SECONDS, timeout_seconds)
    )
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(
                f"http://{address}:{port}{path}", headers=visitor.headers, allow_redirects=False
            ) as answer,
        ):
            last_line = await _last_line(answer) if answer.status >= HTTPStatus.BAD_REQUEST else ""
            return ProbeReply(True, answer.status, answer.headers.get("Location", ""), last_line)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        return None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return ProbeReply(False)


async def accepts_connections(address: IPv4Address, port: int, *, timeout_seconds: float) -> bool:
    """Return whether anything accepts a connection at this address and port."""
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(str(address), port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _ask_h2c(address: IPv4Address, port: int, timeout_seconds: float) -> ProbeReply | None:
    try:
        async with asyncio.timeout(min(_CONNECT_SECONDS, timeout_seconds)):
            reader, writer = await asyncio.open_connection(str(address), port)
    except (OSError, TimeoutError):
        return None
    try:
        async with asyncio.timeout(timeout_seconds):
            writer.write(_H2_PREFACE)
            head = await reader.readexactly(_H2_FRAME_HEAD)
        return ProbeReply(head[_H2_FRAME_TYPE] == _H2_SETTINGS)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return ProbeReply(False)
    finally:
        writer.close()


async def _last_line(answer: aiohttp.ClientResponse) -> str:
    """Return the last line with text of the body's first piece, without markup; "" when there is none."""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await answer.content.read(_BODY_BYTES)
    except (aiohttp.ClientError, TimeoutError):
        return ""
    return last_text_line(body.decode("utf-8", "replace"))


def last_text_line(body: str) -> str:
    lines = (" ".join(_TAG.sub(" ", line).split()) for line in body.splitlines())
    readable = ["".join(letter for letter in line if letter.isprintable()) for line in lines]
    return next((line for line in reversed(readable) if line), "")[:_LINE_LENGTH]
