"""Apps reach the internet, name servers, the ingress and what the operator allows; nothing private or of this host."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from ipaddress import IPv4Network

import pytest
from structlog.testing import capture_logs

from stackyn_server import config
from stackyn_server.engine import containers, firewall
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.firewall_zone import app_zone
from stackyn_server.reconcile.network_guard import close_networks
from tests.clean_up import remove_firewall_rules
from tests.engine.own_host import OwnHost
from tests.engine.parts import asked, is_open, reaches, until_answers
from tests.patience import within

Spec = Callable[..., ContainerSpec]


@pytest.fixture
def serving(spec: Spec) -> ContainerSpec:
    return spec(command="nc -ll -p 8080 -e echo hello")


@pytest.fixture
async def app(engine: Engine, serving: ContainerSpec, no_rules: None) -> str:
    return await containers.start(engine, serving)


async def until_settled(engine: Engine, ports: tuple[int, ...] = ()) -> None:
    """The engine takes its jump to DOCKER-USER away for a moment when anybody makes a network."""
    async with within(10):
        while await firewall.restrict_apps(engine, ports):
            continue


async def test_apps_reach_the_internet_and_nothing_private(
    engine: Engine, app: str, serving: ContainerSpec, host: OwnHost, listener: int
) -> None:
    closed = {
        **host.closed,
        "gateway": f"{serving.bridge.gateway}:{listener}",
        "public address of this host": f"{host.here}:{listener}",
    }
    for what, place in closed.items():
        assert await is_open(engine, app, host, place), f"{what} is open without rules: the test can fail"
    host.seen.clear()

    assert await firewall.restrict_apps(engine, [])

    for what, place in closed.items():
        assert not await reaches(engine, app, host, place), what
    assert host.seen == []
    assert await reaches(engine, app, host, host.public)
    assert "Connection refused" in await asked(engine, app, host.private), "and no wait for nothing"
    await until_answers(serving.address, 8080)  # the ingress still reaches the app
    await remove_firewall_rules(engine)
    for what, place in closed.items():
        assert await is_open(engine, app, host, place), f"{what} is open again without rules"


async def test_apps_reach_the_ports_of_the_ingress_on_this_host(
    engine: Engine, app: str, host: OwnHost, listener: int
) -> None:
    await firewall.restrict_apps(engine, [listener, 80])

    assert await reaches(engine, app, host, f"{host.here}:{listener}")
    assert not await reaches(engine, app, host, host.private), "port 80 elsewhere"


async def test_private_networks_that_the_operator_allows_are_open(
    engine: Engine, app: str, host: OwnHost, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = engine.network.model_copy(update={"allowed_private": (IPv4Network(host.private),)})
    monkeypatch.setattr(engine, "network", allowed)
    await firewall.restrict_apps(engine, [])

    assert await reaches(engine, app, host, host.private)
    assert not await reaches(engine, app, host, host.shared)
    assert not await reaches(engine, app, host, f"{host.here}:{listener}")


async def test_an_open_host_still_keeps_private_networks_closed(
    engine: Engine, app: str, host: OwnHost, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "network", engine.network.model_copy(update={"close_host": False}))
    await firewall.restrict_apps(engine, [])

    assert await reaches(engine, app, host, f"{host.here}:{listener}")
    assert not await reaches(engine, app, host, host.private)


async def test_the_rules_are_put_back_when_somebody_took_them_away(
    engine: Engine, app: str, host: OwnHost
) -> None:
    zone = app_zone(engine)
    await until_settled(engine)

    for damage in (
        ("-F", zone.chain),
        ("-D", "DOCKER-USER", *zone.jump.split()),
        ("-D", "INPUT", *zone.jump.split()),
    ):
        await asyncio.to_thread(_iptables, *damage)
        assert await firewall.restrict_apps(engine, []), damage
        await until_settled(engine)
        assert not await reaches(engine, app, host, host.private), damage
        assert await asyncio.to_thread(_jumps, engine) <= 3, damage

    await remove_firewall_rules(engine)
    assert await asyncio.to_thread(_jumps, engine) == 0


async def test_missing_right_to_change_rules_warns_the_operator(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with capture_logs() as log:
        await close_networks(config.Settings(network=engine.network), engine, None)

    (reason,) = [entry["reason"] for entry in log if entry["event"] == "host.open_to_containers"]
    assert reason.startswith("Containers can reach private networks and services of this host: ")


def _iptables(*arguments: str) -> str:
    return subprocess.run(
        ["iptables", "-w", "5", *arguments], check=True, capture_output=True, text=True
    ).stdout


def _jumps(engine: Engine) -> int:
    return _iptables("-S").count(f"-j {app_zone(engine).chain}\n")
