from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.domain.seats import address_of
from stackyn_server.ingress import fallback
from stackyn_server.ingress.publisher import Publisher
from stackyn_server.ingress.render import render_file
from stackyn_server.ingress.render_context import OwnUpstream, RenderContext
from stackyn_server.ingress.route_file import RouteFile
from stackyn_server.store.database import Database
from tests.integration.ingress.parts import Proxy, entry_points, free_port

LOOPBACK_SEATS = IPv4Network("127.64.0.0/16")  # all of 127/8 is local, so backends can have a seat's address
EPOCH = 1
CONFIRM_SECONDS = 20  # a whole suite may be running beside
BRIEFLY = 2.0  # where confirmation is to fail


async def leading() -> None:
    """The `still_leading` of a server that leads."""


def address(seat: int, slot: int = 0) -> str:
    return str(address_of(LOOPBACK_SEATS, seat, slot))


@dataclass
class IngressSetup:
    """A running proxy and a publisher of an empty database. All backends listen on `port`."""

    database: Database
    proxy: Proxy
    context: RenderContext
    port: int

    def publisher(self, **changes: Any) -> Publisher:
        parameters: dict[str, Any] = {
            "epoch": EPOCH,
            "still_leading": leading,
            "confirm_seconds": CONFIRM_SECONDS,
            "context": self.context,
            "renderer": render_file,
            "file": RouteFile(self.proxy.routes, self.proxy.directory),
            **changes,
        }
        return Publisher(
            self.database,
            parameters.pop("file"),
            parameters.pop("context"),
            parameters.pop("renderer"),
            **parameters,
        )


MakeSetup = Callable[..., Any]


@asynccontextmanager
async def making_setups(database: Database, tmp_path: Path) -> AsyncIterator[MakeSetup]:
    """With `tls=True` the proxy has a TLS entry point beside the plain one; `start=False` doesn't start the proxy."""
    setups: list[IngressSetup] = []

    async def make(*, tls: bool = False, start: bool = True, **context: Any) -> IngressSetup:
        async with database.transaction() as connection:
            await connection.execute("UPDATE installation SET epoch = $1", EPOCH)
            secret = await connection.fetchval("SELECT secret FROM installation")
        more = {"metrics_port": context["metrics_port"]} if "metrics_port" in context else {}
        proxy = Proxy(tmp_path / f"proxy-{len(setups)}", entry_points(tls=tls), **more)
        await asyncio.to_thread(fallback.install, proxy.directory)
        settings = {
            "base_domain": "example.test",
            "subnet": LOOPBACK_SEATS,
            "secret": secret,
            "entry_points": proxy.entry_points,
            "own_upstreams": (OwnUpstream("api", IPv4Address("127.0.0.1"), free_port(), is_api=True),),
            **context,
        }
        setup = IngressSetup(database, proxy, RenderContext(**settings), free_port())
        setups.append(setup)
        number = (
            await setup.publisher().publish()
        )  # a proxy started without its file never looks for it again
        if start:
            await proxy.start()
            await setup.publisher().confirm(number, {})
        return setup

    yield make
    for setup in setups:
        await setup.proxy.stop()


@pytest.fixture
async def make_setup(database: Database, tmp_path: Path) -> AsyncIterator[MakeSetup]:
    async with making_setups(database, tmp_path) as make:
        yield make


@pytest.fixture
async def setup(make_setup: MakeSetup) -> IngressSetup:
    setup: IngressSetup = await make_setup()
    return setup
