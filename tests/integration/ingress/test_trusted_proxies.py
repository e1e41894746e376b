"""Another proxy in front of ours: its headers reach an app if it is trusted, and no request hides in another one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from stackyn_server.config import IngressSettings
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import IngressSetup, MakeSetup, address
from tests.integration.ingress.parts import backend
from tests.patience import within

HOST = "shop.example.test"
FORGED = {
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "front.example.test",
    "forwarded": "for=203.0.113.9;proto=https",
}


class Mirror:
    """A backend that records each request and answers with the headers that arrived."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path, await request.read()))
        return web.json_response({name.lower(): value for name, value in request.headers.items()})


@pytest.fixture
async def mirror() -> Mirror:
    return Mirror()


async def serving(make_setup: MakeSetup, *trusted: str) -> IngressSetup:
    setup: IngressSetup = await make_setup(start=False)
    setup.proxy.settings = IngressSettings(trusted_proxies=trusted)
    await setup.proxy.start()
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    await setup.publisher().apply({HOST: instance})
    return setup


@pytest.fixture
async def trusting(make_setup: MakeSetup, mirror: Mirror) -> AsyncIterator[IngressSetup]:
    """A setup that trusts a proxy on loopback."""
    setup = await serving(make_setup, "127.0.0.0/8")
    async with backend(address(0), setup.port, mirror.answer):
        yield setup


async def send(setup: IngressSetup, request: bytes) -> bytes:
    """Send these bytes on one connection; return all that comes back until it closes or stays silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", setup.proxy.entry_points[0].port)
    writer.write(request)
    answer = b""
    try:
        async with within(1):
            while piece := await reader.read(65_536):
                answer += piece
    except TimeoutError:
        pass
    finally:
        writer.transport.abort()
    return answer


async def headers_seen(setup: IngressSetup) -> dict[str, str]:
    lines = ["GET / HTTP/1.1", f"Host: {HOST}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in FORGED.items()]
    answer = await send(setup, "\r\n".join([*lines, "", ""]).encode())
    seen: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return seen


async def test_headers_of_a_trusted_proxy_reach_the_app(trusting: IngressSetup) -> None:
    seen = await headers_seen(trusting)
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert seen["x-forwarded-host"] == "front.example.test"
    assert "forwarded" not in seen, "one way to say it is enough"


@pytest.mark.parametrize("trusted", [(), ("192.0.2.7",)])
async def test_headers_of_other_senders_are_removed(
    make_setup: MakeSetup, mirror: Mirror, trusted: tuple[str, ...]
) -> None:
    setup = await serving(make_setup, *trusted)
    async with backend(address(0), setup.port, mirror.answer):
        seen = await headers_seen(setup)
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-host"] == HOST
    assert "forwarded" not in seen


HIDDEN = f"GET /hidden HTTP/1.1\r\nHost: {HOST}\r\n\r\n"


def post(*headers: str, body: str) -> bytes:
    return "\r\n".join(["POST /open HTTP/1.1", f"Host: {HOST}", *headers, "", body]).encode()


CHUNKED = f"0\r\n\r\n{HIDDEN}"
SMUGGLED = {
    "CL.TE": post(f"Content-Length: {len(CHUNKED)}", "Transfer-Encoding: chunked", body=CHUNKED),
    "TE.CL": post(
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        body=f"{len(HIDDEN):x}\r\n{HIDDEN}\r\n0\r\n\r\n",
    ),
    "TE twice": post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=CHUNKED),
    "TE unknown": post(f"Content-Length: {len(CHUNKED)}", "Transfer-Encoding: xchunked", body=CHUNKED),
    "TE with a tab": post(f"Content-Length: {len(CHUNKED)}", "Transfer-Encoding:\tchunked", body=CHUNKED),
    "TE with a space before the colon": post(
        f"Content-Length: {len(CHUNKED)}", "Transfer-Encoding : chunked", body=CHUNKED
    ),
    "TE folded": post(
        f"Content-Length: {len(CHUNKED)}", "X-Y: z\r\n Transfer-Encoding: chunked", body=CHUNKED
    ),
    "CL folded": post(f"Content-Length:\r\n {len(HIDDEN)}", body=HIDDEN),
    "CL twice": post("Content-Length: 0", f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
    "CL as a list": post(f"Content-Length: 0, {len(HIDDEN)}", body=HIDDEN),
    "CL with a sign": post(f"Content-Length: +{len(HIDDEN)}", body=HIDDEN),
    "CL in hexadecimal": post(f"Content-Length: 0x{len(HIDDEN):x}", body=HIDDEN),
    "CL_ by another name": post(
        "Content-Length: 0", f"Content_Length: {len(HIDDEN)}", "Connection: close", body=HIDDEN
    ),
    "a bare CR in a header": post("X-Y: z\rContent-Length: 0", f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
    "a chunk size that wraps": post(
        "Transfer-Encoding: chunked", body=f"10000000000000000\r\n{HIDDEN}\r\n0\r\n\r\n"
    ),
}
# The control of the cases: on a kept connection, a second request that isn't hidden reaches the backend.
OPEN = post("Content-Length: 0", body=HIDDEN)


async def test_the_mirror_sees_a_second_request_on_a_connection(
    make_setup: MakeSetup, mirror: Mirror
) -> None:
    setup = await serving(make_setup)
    async with backend(address(0), setup.port, mirror.answer):
        await send(setup, OPEN)
    assert [path for _, path, _ in mirror.asked] == ["/open", "/hidden"]


async def test_no_request_is_smuggled_past_a_proxy(trusting: IngressSetup, mirror: Mirror) -> None:
    through = {}
    for name, request in SMUGGLED.items():
        mirror.asked.clear()
        answer = await send(trusting, request)
        is_refused = not answer.startswith(b"HTTP/1.1 2") and not mirror.asked
        is_one = [path for _, path, _ in mirror.asked] == ["/open"] and answer.count(b"HTTP/1.1 2") == 1
        if not (is_refused or is_one):
            through[name] = (mirror.asked.copy(), answer)
    assert not through, "\n".join(f"{name}: {what}" for name, what in through.items())
