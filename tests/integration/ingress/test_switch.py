"""Switches of an app from one instance to the next, under load, through the real proxy."""

from __future__ import annotations

from functools import partial

import aiohttp
from aiohttp import web

from stackyn_server.domain.ids import AppId, InstanceId
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import Stage, address
from tests.integration.ingress.parts import Load, backend, says
from tests.patience import patient

SWITCHES = 10
CLIENTS = 8
FEWEST_REQUESTS = 1000


async def test_ten_switches_under_constant_load_drop_no_request(stage: Stage) -> None:
    app, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    publisher = stage.publisher()
    load = Load(stage.proxy.entry_points[0], "shop.example.test")
    serving = backend(address(0, 0), stage.port, says(str(instance)))
    await serving.__aenter__()
    await publisher.apply({load.host: instance})

    async with load.running(CLIENTS):
        for number in range(1, SWITCHES + 1):
            slot = number % 2
            instance = await rows.add_instance(stage.database, app, slot=slot, port=stage.port)
            candidate = backend(address(0, slot), stage.port, says(str(instance)))
            await candidate.__aenter__()
            await rows.want(stage.database, app, instance)
            await publisher.apply({load.host: instance})
            await load.until(partial(_answered_by, load, instance))
            await serving.__aexit__(None, None, None)  # finishes its requests, closes idle connections
            serving = candidate
    await serving.__aexit__(None, None, None)

    assert load.failures == []
    assert sum(load.answers.values()) > FEWEST_REQUESTS
    assert len(load.answers) == SWITCHES + 1, "every instance answered"


async def test_no_request_reaches_the_old_instance_once_confirmed(stage: Stage) -> None:
    app, old = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    publisher = stage.publisher()
    load = Load(stage.proxy.entry_points[0], "shop.example.test")
    async with (
        backend(address(0, 0), stage.port, says("old")),
        backend(address(0, 1), stage.port, says("new")),
    ):
        await publisher.apply({load.host: old})
        new = await rows.add_instance(stage.database, app, slot=1, port=stage.port)
        async with load.running(CLIENTS):
            await load.until(lambda: load.answers["old"] > CLIENTS)
            await rows.want(stage.database, app, new)
            await publisher.apply({load.host: new})
            already_sent = load.answers["old"] + CLIENTS
            await load.until(lambda: load.answers["new"] > 20 * CLIENTS)

    assert load.failures == []
    assert load.answers["old"] <= already_sent


async def test_a_neighbours_websocket_survives_every_switch(stage: Stage) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app, first = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    _, neighbour = await rows.add_app(stage.database, "chat", port=stage.port, seat=1)
    publisher = stage.publisher()
    async with (
        backend(address(0, 0), stage.port, says("a")),
        backend(address(0, 1), stage.port, says("b")),
        backend(address(1, 0), stage.port, echo),
    ):
        await publisher.apply({"shop.example.test": first, "chat.example.test": neighbour})
        url = f"http://127.0.0.1:{stage.proxy.entry_points[0].port}/"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, headers={"Host": "chat.example.test"}) as socket,
        ):
            for number in range(SWITCHES):
                await _switch(stage, app, slot=(number + 1) % 2)
                await socket.send_str(str(number))
                assert await socket.receive_str(timeout=patient(5)) == str(number)


async def _switch(stage: Stage, app: AppId, slot: int) -> InstanceId:
    instance = await rows.add_instance(stage.database, app, slot=slot, port=stage.port)
    await rows.want(stage.database, app, instance)
    await stage.publisher().apply({"shop.example.test": instance})
    return instance


def _answered_by(load: Load, instance: InstanceId) -> bool:
    return load.answers[str(instance)] > 2 * CLIENTS
