from __future__ import annotations

import asyncio
import socket

import pytest

from stackyn_server.ingress.listeners import listener_counts, wait_for_second_listeners
from tests.patience import patient


def listen(port: int, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", port))
    listener.listen()
    return listener


def test_listeners_are_counted_and_connections_are_not() -> None:
    with listen(0) as first:
        port = first.getsockname()[1]
        assert listener_counts([port]) == {port: 1}
        with listen(port), listen(port, socket.AF_INET6), socket.create_connection(("127.0.0.1", port)):
            assert listener_counts([port]) == {port: 3}
    assert listener_counts([port]) == {port: 0}


async def test_a_second_listener_is_waited_for() -> None:
    with listen(0) as first:
        port = first.getsockname()[1]
        waiting = await _waiting(port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.1)
        with listen(port):
            await asyncio.wait_for(waiting, patient(5))


async def test_a_listener_that_goes_at_once_does_not_count() -> None:
    with listen(0) as first:
        port = first.getsockname()[1]
        waiting = await _waiting(port)
        with listen(port):
            await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 1)


async def _waiting(port: int) -> asyncio.Task[None]:
    return asyncio.create_task(wait_for_second_listeners(await asyncio.to_thread(listener_counts, [port])))
