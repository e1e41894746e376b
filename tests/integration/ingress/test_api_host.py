"""The API through the proxy: its own answers are unchanged, and the proxy answers JSON while the API is away."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from tests.integration.ingress import rows
from tests.integration.ingress.conftest import IngressSetup, MakeSetup
from tests.integration.ingress.parts import backend, expect_two_events, free_port, two_events
from tests.patience import patient

HOST = "api.example.test"
CONSOLE, OTHER = "https://console.example.test", "https://console.example.org"


@pytest.fixture
async def api(make_setup: MakeSetup) -> IngressSetup:
    """A proxy in front of an API that doesn't run."""
    setup: IngressSetup = await make_setup(metrics_port=free_port(), allowed_origins=(CONSOLE, OTHER))
    return setup


def url(setup: IngressSetup, path: str = "/api/apps") -> str:
    return f"http://127.0.0.1:{setup.proxy.entry_points[0].port}{path}"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(("origin", "allowed"), [(OTHER, OTHER), ("https://elsewhere.test", CONSOLE)])
async def test_the_proxy_answers_json_errors_while_the_api_is_away(
    api: IngressSetup, method: str, origin: str, allowed: str
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url(api), headers={"Host": HOST, "Origin": origin}, data=b"{}") as answer,
    ):
        body = await answer.json()

    assert answer.status == 503
    assert answer.content_type == "application/json"
    assert body["code"] == "TEMPORARILY_UNAVAILABLE"
    assert body["error"] and "401" not in body["error"] and "unauthorized" not in body["error"].lower()
    assert body["request_id"] == answer.headers["X-Request-Id"] and len(body["request_id"]) == 32
    assert answer.headers["Access-Control-Allow-Origin"] == allowed
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("status", [200, 404, 500, 503])
async def test_answers_of_the_api_itself_are_not_replaced(api: IngressSetup, status: int) -> None:
    async def says(request: web.Request) -> web.Response:
        return web.json_response({"mine": status}, status=status, headers={"X-Mine": "yes"})

    upstream = api.context.own_upstreams[0]
    async with (
        backend(str(upstream.address), upstream.port, says),
        aiohttp.ClientSession() as session,
        session.get(url(api), headers={"Host": HOST}) as answer,
    ):
        assert (answer.status, await answer.json(), answer.headers["X-Mine"]) == (
            status,
            {"mine": status},
            "yes",
        )


async def test_streams_and_websockets_of_the_api_pass(api: IngressSetup) -> None:
    second = asyncio.Event()

    async def serves(request: web.Request) -> web.StreamResponse:
        if request.path == "/ws":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str(await socket.receive_str())
            await socket.close()
            return socket
        return await two_events(second)(request)

    upstream, headers = api.context.own_upstreams[0], {"Host": HOST}
    async with backend(str(upstream.address), upstream.port, serves), aiohttp.ClientSession() as session:
        async with session.ws_connect(url(api, "/ws"), headers=headers) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str(timeout=patient(5)) == "hello"
        async with session.get(url(api, "/events"), headers=headers) as stream:
            await expect_two_events(stream, second)


async def test_errors_of_apps_are_not_replaced(api: IngressSetup) -> None:
    _, instance = await rows.add_app(api.database, "shop", port=api.port, seat=0)
    await api.publisher().apply({"shop.example.test": instance})

    async with (
        aiohttp.ClientSession() as session,
        session.get(url(api), headers={"Host": "shop.example.test"}) as answer,
    ):
        assert answer.status == 502
        assert "TEMPORARILY_UNAVAILABLE" not in await answer.text()


async def test_visitors_entry_points_dont_serve_the_fallback(api: IngressSetup) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url(api), headers={"Host": "127.0.0.1"}) as answer,
    ):
        assert answer.status == 404
