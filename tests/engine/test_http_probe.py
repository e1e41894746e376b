"""Requests of ours to servers on loopback: what a visitor's request looks like, and what may come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

import pytest

from stackyn_server.config import PublicSettings
from stackyn_server.domain.apps import Protocol
from stackyn_server.engine.http_probe import (
    ProbeReply,
    Visitor,
    accepts_connections,
    last_text_line,
    send_probe,
)
from tests.server_process import free_port

LOOPBACK = IPv4Address("127.0.0.1")
SHOP = Visitor("shop.example.test", "https", 443)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()

    async with await asyncio.start_server(accept, str(LOOPBACK), 0) as server:
        yield server.sockets[0].getsockname()[1]


def saying(answer: bytes, heard: list[bytes] | None = None) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(request)
        writer.write(answer)
        await writer.drain()

    return serve


async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def asked(port: int, protocol: Protocol = "http", seconds: float = 5) -> ProbeReply | None:
    return await send_probe(LOOPBACK, port, "/up?x=1", SHOP, protocol=protocol, timeout_seconds=seconds)


async def test_the_request_is_a_visitors() -> None:
    heard: list[bytes] = []
    async with listening(saying(b"HTTP/1.1 204 No Content\r\n\r\n", heard)) as port:
        assert await asked(port) == ProbeReply(True, 204)
    lines = heard[0].decode().split("\r\n")
    assert lines[0] == "GET /up?x=1 HTTP/1.1"
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    assert headers["host"] == headers["x-forwarded-host"] == "shop.example.test"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("https", "443")
    assert headers["accept"].startswith("text/html,")


@pytest.mark.parametrize(
    ("public", "visitor"),
    [
        (PublicSettings(base_domain="example.org", scheme="https"), Visitor("a.example.org", "https", 443)),
        (PublicSettings(base_domain="example.org", port=8000), Visitor("a.example.org", "http", 8000)),
    ],
)
def test_a_visitor_of_the_public_side(public: PublicSettings, visitor: Visitor) -> None:
    assert Visitor.of(public, "a") == visitor


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ProbeReply(True, 200)),
        (b"HTTP/1.0 200 OK\r\n\r\nno length", ProbeReply(True, 200)),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            ProbeReply(True, 302, "/login"),
        ),
        (
            b"HTTP/1.1 503 No\r\nContent-Length: 19\r\n\r\nstarting\nwarming up",
            ProbeReply(True, 503, last_line="warming up"),
        ),
        (b"SSH-2.0-OpenSSH_9\r\n", ProbeReply(False)),
        (b"", ProbeReply(False)),
    ],
)
async def test_what_comes_back_is_told_as_it_is(answer: bytes, reply: ProbeReply) -> None:
    async with listening(saying(answer)) as port:
        assert await asked(port) == reply


async def test_silence_is_no_answer_and_nobody_is_none() -> None:
    async with listening(wait) as port:
        assert await asked(port, seconds=0.3) == ProbeReply(False)
        assert await accepts_connections(LOOPBACK, port, timeout_seconds=1)
    nobody = free_port()
    assert await asked(nobody) is None
    assert not await accepts_connections(LOOPBACK, nobody, timeout_seconds=1)


@pytest.mark.parametrize(
    ("answer", "speaks_protocol"),
    [
        (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", True),  # empty settings
        (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"", False),
    ],
)
async def test_an_h2c_app_answers_with_its_settings(answer: bytes, speaks_protocol: bool) -> None:
    heard: list[bytes] = []
    async with listening(saying(answer, heard)) as port:
        reply = await asked(port, "h2c")
    assert reply == ProbeReply(speaks_protocol)
    assert heard[0].startswith(b"PRI * HTTP/2.0\r\n")
    assert await asked(free_port(), "h2c") is None


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        ("<html><body>\n<h1>Bad host</h1>\n</body></html>", "Bad host"),
        ("a\x00b\u2028", "ab"),
        ("x" * 999, "x" * 200),
    ],
)
def test_the_last_line_of_a_body(body: str, line: str) -> None:
    assert last_text_line(body) == line
