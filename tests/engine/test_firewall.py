"""The host is closed to containers, apart from the proxy's ports."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from stackyn_server import config
from stackyn_server.engine import containers, firewall
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.reconcile.network_guard import close_networks
from tests.clean_up import remove_firewall_rules
from tests.engine.parts import run_inside, until_answers

Spec = Callable[..., ContainerSpec]
Listening = Callable[[], AsyncIterator[int]]


@pytest.fixture
async def closed_again(engine: Engine) -> AsyncIterator[None]:
    yield
    await remove_firewall_rules(engine)


@pytest.fixture
async def listeners() -> AsyncIterator[tuple[int, int]]:
    """Two ports of this host that say hello on every address."""

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    servers = [await asyncio.start_server(hello, "0.0.0.0", 0, family=socket.AF_INET) for _ in range(2)]
    try:
        yield servers[0].sockets[0].getsockname()[1], servers[1].sockets[0].getsockname()[1]
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


async def reaches(engine: Engine, container: str, port: int, bridge_gateway: object) -> bool:
    _, text = await run_inside(engine, container, "sh", "-c", f"nc -w 2 {bridge_gateway} {port} < /dev/null")
    return "hello" in text


async def test_container_reaches_only_the_proxys_port_of_the_host(
    engine: Engine, spec: Spec, listeners: tuple[int, int], closed_again: None
) -> None:
    proxy, secret = listeners
    container_spec = spec(command="nc -ll -p 8080 -e echo hello")
    container = await containers.start(engine, container_spec)
    assert await reaches(engine, container, secret, container_spec.bridge.gateway), (
        "open before: the test can fail"
    )

    was_missing = await firewall.restrict_apps(engine, [proxy])

    assert was_missing
    assert await reaches(engine, container, proxy, container_spec.bridge.gateway)
    assert not await reaches(engine, container, secret, container_spec.bridge.gateway)
    await until_answers(container_spec.address, 8080)  # the host still reaches the container


async def test_the_rules_are_put_back_when_somebody_took_them_away(
    engine: Engine, spec: Spec, listeners: tuple[int, int], closed_again: None
) -> None:
    _, secret = listeners
    container_spec = spec()
    container = await containers.start(engine, container_spec)
    await firewall.restrict_apps(engine, [])
    assert not await firewall.restrict_apps(engine, [])
    assert await asyncio.to_thread(_jumps, engine) == 1

    await asyncio.to_thread(_iptables, "-F", firewall.chain_name(engine))
    assert await reaches(engine, container, secret, container_spec.bridge.gateway)
    await firewall.restrict_apps(engine, [])
    assert not await reaches(engine, container, secret, container_spec.bridge.gateway)

    await remove_firewall_rules(engine)
    assert await asyncio.to_thread(_jumps, engine) == 0
    assert await firewall.restrict_apps(engine, [])
    assert not await reaches(engine, container, secret, container_spec.bridge.gateway)


async def test_missing_right_to_change_rules_warns_the_operator(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with capture_logs() as log:
        await close_networks(config.Settings(network=engine.network), engine)

    (reason,) = [entry["reason"] for entry in log if entry["event"] == "host.open_to_containers"]
    assert reason.startswith("Containers can reach services of this host: ")


def _iptables(*arguments: str) -> str:
    return subprocess.run(
        ["iptables", "-w", "5", *arguments], check=True, capture_output=True, text=True
    ).stdout


def _jumps(engine: Engine) -> int:
    return _iptables("-S", "INPUT").count(f"-j {firewall.chain_name(engine)}")
