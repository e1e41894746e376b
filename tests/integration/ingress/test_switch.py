"""Switches of an app from one instance to the next, under load, through the real proxy."""

from __future__ import annotations

from functools import partial

import aiohttp
from aiohttp import web

from stackyn_server.domain.ids import AppId, InstanceId
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import IngressSetup, address
from tests.integration.ingress.parts import PostClients, backend, says
from tests.patience import patient

SWITCHES = 10
CLIENTS = 8
FEWEST_REQUESTS = 1000


async def test_ten_switches_under_constant_load_drop_no_request(setup: IngressSetup) -> None:
    app, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    publisher = setup.publisher()
    clients = PostClients(setup.proxy.entry_points[0], "shop.example.test")
    serving = backend(address(0, 0), setup.port, says(str(instance)))
    await serving.__aenter__()
    await publisher.apply({clients.host: instance})

    async with clients.running(CLIENTS):
        for number in range(1, SWITCHES + 1):
            slot = number % 2
            instance = await rows.add_instance(setup.database, app, slot=slot, port=setup.port)
            candidate = backend(address(0, slot), setup.port, says(str(instance)))
            await candidate.__aenter__()
            await rows.want(setup.database, app, instance)
            await publisher.apply({clients.host: instance})
            await clients.until(partial(_answered_by, clients, instance))
            await serving.__aexit__(None, None, None)  # finishes its requests, closes idle connections
            serving = candidate
    await serving.__aexit__(None, None, None)

    assert clients.failures == []
    assert sum(clients.answers.values()) > FEWEST_REQUESTS
    assert len(clients.answers) == SWITCHES + 1, "every instance answered"


async def test_no_request_reaches_the_old_instance_once_confirmed(setup: IngressSetup) -> None:
    app, old = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    publisher = setup.publisher()
    clients = PostClients(setup.proxy.entry_points[0], "shop.example.test")
    async with (
        backend(address(0, 0), setup.port, says("old")),
        backend(address(0, 1), setup.port, says("new")),
    ):
        await publisher.apply({clients.host: old})
        new = await rows.add_instance(setup.database, app, slot=1, port=setup.port)
        async with clients.running(CLIENTS):
            await clients.until(lambda: clients.answers["old"] > CLIENTS)
            await rows.want(setup.database, app, new)
            await publisher.apply({clients.host: new})
            already_sent = clients.answers["old"] + CLIENTS
            await clients.until(lambda: clients.answers["new"] > 20 * CLIENTS)

    assert clients.failures == []
    assert clients.answers["old"] <= already_sent


async def test_a_neighbours_websocket_survives_every_switch(setup: IngressSetup) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app, first = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    _, neighbour = await rows.add_app(setup.database, "chat", port=setup.port, seat=1)
    publisher = setup.publisher()
    async with (
        backend(address(0, 0), setup.port, says("a")),
        backend(address(0, 1), setup.port, says("b")),
        backend(address(1, 0), setup.port, echo),
    ):
        await publisher.apply({"shop.example.test": first, "chat.example.test": neighbour})
        url = f"http://127.0.0.1:{setup.proxy.entry_points[0].port}/"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, headers={"Host": "chat.example.test"}) as socket,
        ):
            for number in range(SWITCHES):
                await _switch(setup, app, slot=(number + 1) % 2)
                await socket.send_str(str(number))
                assert await socket.receive_str(timeout=patient(5)) == str(number)


async def _switch(setup: IngressSetup, app: AppId, slot: int) -> InstanceId:
    instance = await rows.add_instance(setup.database, app, slot=slot, port=setup.port)
    await rows.want(setup.database, app, instance)
    await setup.publisher().apply({"shop.example.test": instance})
    return instance


def _answered_by(clients: PostClients, instance: InstanceId) -> bool:
    return clients.answers[str(instance)] > 2 * CLIENTS
