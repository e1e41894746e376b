"""A held route: the proxy holds requests with their bodies until the hold endpoint answers."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import time

import aiohttp
import pytest
from aiohttp import web

from tests.integration.ingress import rows
from tests.integration.ingress.conftest import IngressSetup, MakeSetup, address
from tests.integration.ingress.parts import backend, free_port
from tests.patience import patient, within

HOST = "sleepy.example.test"
BEYOND_ONE_TURN_SECONDS = 37  # the proxy ends one forwardAuth request after 30
BODY_BYTES = 3 * 2**20


class FakeHoldEndpoint:
    """Answers each forwardAuth request when `open` is set, or after `turn_seconds`."""

    def __init__(self, turn_seconds: float) -> None:
        self.open = asyncio.Event()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._turn_seconds = turn_seconds
        self._arrivals: asyncio.Queue[str] = asyncio.Queue()

    async def arrival(self, seconds: float = 10) -> str:
        """Return the path of the next forwardAuth request."""
        async with within(seconds):
            return await self._arrivals.get()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, dict(request.headers)))
        self._arrivals.put_nowait(request.path)
        try:
            async with asyncio.timeout(self._turn_seconds):
                await self.open.wait()
        except TimeoutError:
            _, _, _, turn, turns = request.path.split("/")
            if turn == turns:
                return web.Response(status=503, text="still asleep", headers={"Retry-After": "5"})
        return web.Response()


async def digest(request: web.Request) -> web.Response:
    return web.Response(text=hashlib.sha256(await request.read()).hexdigest())


async def held_stage(make_setup: MakeSetup, **context: float) -> IngressSetup:
    setup: IngressSetup = await make_setup(hold_port=free_port(), **context)
    app, instance = await rows.add_app(setup.database, "sleepy", port=setup.port, seat=0)
    await rows.hold(setup.database, app)
    await setup.publisher().apply({HOST: instance})
    return setup


def hold_port(setup: IngressSetup) -> int:
    assert setup.context.hold_port is not None
    return setup.context.hold_port


def url(setup: IngressSetup) -> str:
    return f"http://127.0.0.1:{setup.proxy.entry_points[0].port}/upload"


async def test_a_held_post_arrives_with_its_whole_body(make_setup: MakeSetup) -> None:
    setup, endpoint, body = await held_stage(make_setup), FakeHoldEndpoint(25), os.urandom(BODY_BYTES)
    async with aiohttp.ClientSession() as session, backend("127.0.0.1", hold_port(setup), endpoint.answer):
        request = asyncio.create_task(_post(session, setup, body))
        await endpoint.arrival()
        assert not request.done()
        async with backend(address(0), setup.port, digest):  # only now does the instance listen
            endpoint.open.set()
            assert await request == (200, hashlib.sha256(body).hexdigest())


async def test_the_hold_endpoint_gets_the_app_and_no_credentials(make_setup: MakeSetup) -> None:
    setup, endpoint = await held_stage(make_setup), FakeHoldEndpoint(25)
    endpoint.open.set()
    async with (
        aiohttp.ClientSession() as session,
        backend("127.0.0.1", hold_port(setup), endpoint.answer),
        backend(address(0), setup.port, digest),
    ):
        await _post(session, setup, b"", {"Authorization": "Bearer visitor", "Cookie": "visitor=1"})

    path, headers = endpoint.asked[0]
    assert path == "/hold/1/1/3"
    assert not {name.lower() for name in headers} & {"authorization", "cookie"}
    assert "visitor" not in str(headers)


async def test_a_websocket_waits_for_the_app_too(make_setup: MakeSetup) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("awake")
        return socket

    setup, endpoint = await held_stage(make_setup), FakeHoldEndpoint(25)
    async with aiohttp.ClientSession() as session, backend("127.0.0.1", hold_port(setup), endpoint.answer):
        connecting = asyncio.create_task(session.ws_connect(url(setup), headers={"Host": HOST}).__aenter__())
        await endpoint.arrival()
        async with backend(address(0), setup.port, echo):
            endpoint.open.set()
            socket = await connecting
            assert await socket.receive_str(timeout=patient(5)) == "awake"
            await socket.close()


async def test_turns_run_in_order_and_only_the_last_one_refuses(make_setup: MakeSetup) -> None:
    setup, endpoint = await held_stage(make_setup, hold_seconds=75), FakeHoldEndpoint(0.2)
    async with aiohttp.ClientSession() as session, backend("127.0.0.1", hold_port(setup), endpoint.answer):
        answer = await _post(session, setup, b"x")

    assert answer == (503, "still asleep")
    assert [path for path, _ in endpoint.asked] == ["/hold/1/1/3", "/hold/1/2/3", "/hold/1/3/3"]


async def test_without_the_hold_endpoint_only_held_apps_fail(
    make_setup: MakeSetup,
) -> None:
    setup = await held_stage(make_setup)
    _, awake = await rows.add_app(setup.database, "awake", port=setup.port, seat=1)
    await setup.publisher().apply({"awake.example.test": awake})
    async with aiohttp.ClientSession() as session, backend(address(1), setup.port, digest):
        assert (await _post(session, setup, b"x"))[0] == 500
        assert (await _post(session, setup, b"x", {"Host": "awake.example.test"}))[0] == 200


@pytest.mark.full
async def test_several_turns_hold_longer_than_thirty_seconds(make_setup: MakeSetup) -> None:
    setup, endpoint, body = (
        await held_stage(make_setup, hold_seconds=50),
        FakeHoldEndpoint(25),
        os.urandom(BODY_BYTES),
    )
    began = time.monotonic()
    async with (
        aiohttp.ClientSession() as session,
        backend("127.0.0.1", hold_port(setup), endpoint.answer),
        backend(address(0), setup.port, digest),
    ):
        request = asyncio.create_task(_post(session, setup, body))
        for _ in range(2):
            await endpoint.arrival(seconds=40)
        asyncio.get_running_loop().call_later(BEYOND_ONE_TURN_SECONDS - 25, endpoint.open.set)
        assert await request == (200, hashlib.sha256(body).hexdigest())

    assert time.monotonic() - began > BEYOND_ONE_TURN_SECONDS - 1


async def _post(
    session: aiohttp.ClientSession, setup: IngressSetup, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    async with session.post(
        url(setup), data=io.BytesIO(body), headers={"Host": HOST, **(headers or {})}
    ) as response:
        return response.status, await response.text()
