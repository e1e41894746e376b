"""What readiness says of the ingress."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from stackyn_server import config
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.ingress.driver import Ingress
from stackyn_server.ingress.other_listeners import PortShared
from stackyn_server.reconcile import ingress_keeper
from stackyn_server.reconcile.ingress_keeper import IngressKeeper

SENTENCE = "Process 4711 (traefik) listens on port 80 beside the proxy."


class Proxy:
    """An ingress whose ports `shares` somebody or nobody; `looks` counts how often that was asked."""

    def __init__(self) -> None:
        self.looks = 0
        self.uid = None
        self.looked = asyncio.Event()
        self.shared = True

    async def prepare(self) -> None:
        """There is nothing to prepare."""

    async def check_ports(self) -> None:
        self.looks += 1
        self.looked.set()
        if self.shared:
            raise PortShared(SENTENCE)


@pytest.fixture
async def prepared(monkeypatch: pytest.MonkeyPatch) -> tuple[IngressKeeper, Proxy]:
    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr(ingress_keeper, "close_networks", nothing)
    proxy, connected = Proxy(), asyncio.Event()
    connected.set()
    settings = config.Settings()
    engine = Engine(settings.engine, settings.network, "an installation")
    keeper = IngressKeeper(settings, engine, connected, cast(Ingress, proxy))
    running = asyncio.create_task(keeper.run())
    await keeper.ready.wait()
    await proxy.looked.wait()
    running.cancel()
    return keeper, proxy


async def test_readiness_names_who_shares_the_ports(prepared: tuple[IngressKeeper, Proxy]) -> None:
    keeper, _ = prepared

    with pytest.raises(StackynError, match="Process 4711"):
        await keeper.check()


async def test_a_port_that_is_ours_again_is_ready_after_the_next_look(
    prepared: tuple[IngressKeeper, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, proxy = prepared
    proxy.shared = False
    with pytest.raises(StackynError):
        await keeper.check()

    monkeypatch.setattr(ingress_keeper, "_LOOK_SECONDS", 0)
    await keeper.check()


async def test_many_askers_share_one_look(prepared: tuple[IngressKeeper, Proxy]) -> None:
    keeper, proxy = prepared

    await asyncio.gather(*(keeper.check() for _ in range(20)), return_exceptions=True)

    assert proxy.looks == 1
