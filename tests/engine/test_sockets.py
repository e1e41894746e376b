"""Who is connected to an app, and where it listens, as seen from outside its container."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address

from stackyn_server.engine import containers, sockets
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.sockets import ListeningSocket
from tests.engine.parts import eventually, until_answers

Spec = Callable[..., ContainerSpec]


async def pid_of(engine: Engine, container: str) -> int:
    state = await containers.inspect(engine, container)
    assert state is not None and state.pid
    return state.pid


async def test_open_connections_to_an_app_are_counted_until_they_close(engine: Engine, spec: Spec) -> None:
    container_spec = spec(command="nc -ll -p 8080 -e sleep 600")
    pid = await pid_of(engine, await containers.start(engine, container_spec))
    await until_answers(container_spec.address, 8080)

    async def count() -> int:
        return await asyncio.to_thread(sockets.count_connections, pid, 8080)

    await eventually(count, 0)
    open_ones = [await asyncio.open_connection(str(container_spec.address), 8080) for _ in range(3)]
    await eventually(count, 3)
    assert await asyncio.to_thread(sockets.count_connections, pid, 8081) == 0
    for _, writer in open_ones:
        writer.close()
        await writer.wait_closed()
    await eventually(count, 0)


async def test_listening_sockets_leave_out_the_engines_resolver(engine: Engine, spec: Spec) -> None:
    container_spec = spec(command="sh -c 'nc -ll -p 8080 -e echo & httpd -f -p 127.0.0.1:9090 & wait'")
    pid = await pid_of(engine, await containers.start(engine, container_spec))

    async def listening() -> dict[int, bool]:
        return {
            listener.port: listener.loopback
            for listener in await asyncio.to_thread(sockets.listening_sockets, pid)
        }

    await eventually(listening, {8080: False, 9090: True})


def test_both_families_are_read_and_mapped_addresses_are_plain() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as narrow,
        socket.create_server(("::", 0), family=socket.AF_INET6) as wide,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as narrow6,
    ):
        listening = sockets.listening_sockets(os.getpid())

        for server, address, loopback in (
            (narrow, "127.0.0.1", True),
            (wide, "::", False),
            (narrow6, "::1", True),
        ):
            assert ListeningSocket(ip_address(address), server.getsockname()[1], loopback) in listening


def test_a_connection_being_made_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            assert sockets.count_connections(os.getpid(), port) >= 1


def test_a_process_that_is_gone_has_none() -> None:
    assert sockets.count_connections(0, 80) == 0
    assert sockets.listening_sockets(2**22 + 1) == []
