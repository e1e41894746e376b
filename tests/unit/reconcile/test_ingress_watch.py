"""A proxy that accepts no connections is noticed, and also that it accepts them again."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import cast

from stackyn_server.ingress.driver import Ingress
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.reconcile.ingress_watch import IngressWatch


def a_watch(*points: EntryPoint) -> tuple[IngressWatch, list[str]]:
    """Return a watch, and a list that gets an entry with each change."""
    changes: list[str] = []
    ingress = cast(Ingress, SimpleNamespace(entry_points=points))
    return IngressWatch(ingress, lambda: changes.append("changed")), changes


async def listening(port: int) -> asyncio.Server:
    return await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)


async def test_second_refusal_in_a_row_closes_and_an_answer_opens() -> None:
    server = await listening(0)
    port = server.sockets[0].getsockname()[1]
    watch, changes = a_watch(EntryPoint("web", port))
    await watch.look()
    assert watch.is_open() and changes == []
    server.close()
    await watch.look()
    assert watch.is_open(), "one proxy hands over to the next"
    await watch.look()
    await watch.look()
    assert not watch.is_open() and changes == ["changed"]
    server = await listening(port)
    await watch.look()
    assert watch.is_open() and changes == ["changed", "changed"]
    server.close()


async def test_one_open_entry_point_is_enough() -> None:
    server = await listening(0)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        points = (
            EntryPoint("web", server.sockets[0].getsockname()[1]),
            EntryPoint("tls", unused.getsockname()[1]),
        )
        watch, changes = a_watch(*points)
        for _ in range(3):
            await watch.look()
    assert watch.is_open() and changes == []
    server.close()


async def test_server_without_a_proxy_counts_as_open() -> None:
    watch, _ = a_watch()
    for _ in range(3):
        await watch.look()
    assert watch.is_open()
