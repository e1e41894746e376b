"""Requests and responses pass the proxy complete, unforged and without delay."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

import aiohttp
import pytest
from aiohttp import web

from stackyn_server.config import IngressSettings
from stackyn_server.ingress.configuration_directory import ACME, CA_BUNDLE, ConfigurationDirectory
from stackyn_server.ingress.static_configuration import StaticConfiguration
from tests.acme_server import OVER_HTTP, OVER_TLS, AcmeServer
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import IngressSetup, MakeSetup, address
from tests.integration.ingress.parts import (
    Handler,
    backend,
    expect_two_events,
    free_port,
    get,
    get_over_http2,
    says,
    two_events,
)
from tests.patience import within

HOST = "shop.example.test"


async def mirror(request: web.Request) -> web.Response:
    """Answer with the request that arrived."""
    return web.json_response(
        {
            "path": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "bytes": len(await request.read()),
        }
    )


@pytest.fixture
async def shop(setup: IngressSetup) -> IngressSetup:
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    await setup.publisher().apply({HOST: instance})
    return setup


async def raw_get(setup: IngressSetup, path: str, *headers: str) -> dict[str, object]:
    """Send exactly these bytes as path and headers, which client libraries would change."""
    reader, writer = await asyncio.open_connection("127.0.0.1", setup.proxy.entry_points[0].port)
    lines = [f"GET {path} HTTP/1.1", f"Host: {HOST}", "Connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200"), answer
    mirrored: dict[str, object] = json.loads(body)
    return mirrored


async def test_the_app_gets_the_visitors_address_and_no_forged_one(shop: IngressSetup) -> None:
    async with backend(address(0), shop.port, mirror):
        seen = await raw_get(
            shop,
            "/",
            "X-Forwarded-For: 203.0.113.9",
            "X_Forwarded_For: 203.0.113.8",
            "X-Forwarded-Proto: https",
            "X-Real-Ip: 203.0.113.7",
        )

    assert isinstance(seen["headers"], dict)
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert seen["headers"]["x-real-ip"] == "127.0.0.1"
    assert seen["headers"]["x-forwarded-proto"] == "http"
    assert "203.0.113" not in str(seen)


@pytest.mark.parametrize("path", ["/a%2Fb", "/a//b", "/a/../b", "/%00", "/é?q={{x}}", "/a%5Cb;c=%20?x=%26"])
async def test_the_app_gets_the_path_as_it_was_sent(shop: IngressSetup, path: str) -> None:
    async with backend(address(0), shop.port, mirror):
        seen = await raw_get(shop, path.replace("é", "%C3%A9"))

    assert seen["path"] == path.replace("é", "%C3%A9")


async def test_events_of_a_stream_arrive_without_delay(shop: IngressSetup) -> None:
    second = asyncio.Event()
    async with backend(address(0), shop.port, two_events(second)), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{shop.proxy.entry_points[0].port}/"
        async with session.get(url, headers={"Host": HOST}) as stream:
            await expect_two_events(stream, second)


async def test_a_large_upload_without_a_length_arrives_whole(shop: IngressSetup) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield os.urandom(2**20)

    async with backend(address(0), shop.port, mirror), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{shop.proxy.entry_points[0].port}/"
        async with session.post(url, headers={"Host": HOST}, data=pieces()) as response:
            assert (await response.json())["bytes"] == 32 * 2**20


@pytest.mark.parametrize(("read_seconds", "arrives"), [(1.0, False), (30.0, True)])
async def test_a_slow_upload_has_as_long_as_the_settings_say(
    make_setup: MakeSetup, read_seconds: float, arrives: bool
) -> None:
    setup = await _running(make_setup, IngressSettings(read_seconds=read_seconds))
    async with backend(address(0), setup.port, mirror):
        assert await _slow_upload(setup, seconds=2.0) is arrives


@pytest.mark.full
@pytest.mark.timeout(180)
async def test_an_upload_of_more_than_a_minute_is_not_cut(make_setup: MakeSetup) -> None:
    setup = await _running(make_setup, IngressSettings())
    began = time.monotonic()
    async with backend(address(0), setup.port, mirror):
        assert await _slow_upload(setup, seconds=70.0)

    assert time.monotonic() - began > 60


async def test_visitors_over_tls_speak_http2(make_setup: MakeSetup) -> None:
    setup: IngressSetup = await make_setup(tls=True)
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    await setup.publisher().apply({HOST: instance})

    async with backend(address(0), setup.port, says("hello")):
        assert await get_over_http2(setup.proxy.entry_points[1], HOST) == b"hello"


async def test_an_unknown_host_gets_a_404_and_reaches_no_app(shop: IngressSetup) -> None:
    reached: list[str] = []

    async def never(request: web.Request) -> web.Response:
        reached.append(request.host)
        return web.Response()

    async with backend(address(0), shop.port, never):
        for host in ("other.example.test", "example.test", f"x.{HOST}", "127.0.0.1"):
            assert (await get(shop.proxy.entry_points[0], host))[0] == 404

    assert reached == []


async def test_confirmation_requests_never_reach_an_app(setup: IngressSetup) -> None:
    reached: list[str] = []
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)

    async with backend(address(0), setup.port, _noting(reached)):
        await setup.publisher().apply({HOST: instance})

    assert reached == []


@pytest.mark.full
@pytest.mark.parametrize("kind", [OVER_TLS, OVER_HTTP])
async def test_a_new_host_gets_its_certificate_from_the_authority(make_setup: MakeSetup, kind: str) -> None:
    setup: IngressSetup = await make_setup(
        tls=True, start=False, certificate_resolver="stackyn", https_port=8443
    )
    plain, tls = setup.proxy.entry_points
    authority = AcmeServer(free_port(), plain.port if kind == OVER_HTTP else tls.port, kind)
    await authority.start(setup.proxy.directory)
    settings = IngressSettings(
        http_port=80 if kind == OVER_HTTP else plain.port,  # an authority asks on port 80 only
        https_port=tls.port,
        acme_email="ops@example.test",
        acme_server=authority.directory,
    )
    seen = PurePosixPath(setup.proxy.directory)
    await asyncio.to_thread(ConfigurationDirectory(setup.proxy.directory, seen).make)
    await asyncio.to_thread((setup.proxy.directory / CA_BUNDLE).write_text, authority.root)
    await setup.proxy.start(StaticConfiguration(settings, (plain, tls), seen).arguments())
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    await setup.publisher().apply({HOST: instance})
    async with backend(address(0), setup.port, says("hello")):
        trusting = ssl.create_default_context(cadata=authority.root)
        assert await _once_trusted(tls.port, trusting) == "hello"
    await authority.stop()

    assert HOST in authority.issued
    certificates = setup.proxy.directory / ACME / f"{ACME}.json"
    assert certificates.stat().st_mode & 0o777 == 0o600


async def _once_trusted(port: int, context: ssl.SSLContext) -> str:
    """Request the page until the host's certificate is one that `context` trusts for its name."""
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with within(30), aiohttp.ClientSession(connector=connector) as session:
        while True:
            try:
                async with session.get(
                    f"https://127.0.0.1:{port}/", headers={"Host": HOST}, server_hostname=HOST
                ) as answer:
                    return await answer.text()
            except aiohttp.ClientConnectorCertificateError:
                await asyncio.sleep(0.1)


async def _running(make_setup: MakeSetup, settings: IngressSettings) -> IngressSetup:
    setup: IngressSetup = await make_setup(start=False)
    setup.proxy.settings = settings
    await setup.proxy.start()
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    await setup.publisher().apply({HOST: instance})
    return setup


async def _slow_upload(setup: IngressSetup, seconds: float) -> bool:
    """Send a body of ten bytes in ten parts over `seconds`; return whether the app has answered."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            await asyncio.sleep(seconds / 10)
            yield b"x"

    url = f"http://127.0.0.1:{setup.proxy.entry_points[0].port}/"
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(
                url, headers={"Host": HOST, "Content-Length": "10"}, data=pieces()
            ) as response:
                return response.status == 200 and (await response.json())["bytes"] == 10
        except aiohttp.ClientError:
            return False


def _noting(reached: list[str]) -> Handler:
    handler = says("hello")

    async def noting(request: web.Request) -> web.StreamResponse:
        reached.append(request.path)
        return await handler(request)

    return noting
