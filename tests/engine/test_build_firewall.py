"""Builds reach the internet, name servers and what the operator allows; nothing private, and nothing of this host."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from ipaddress import IPv4Network

import pytest

from stackyn_server.engine import firewall, firewall_zone, networks
from stackyn_server.engine.client import Engine
from stackyn_server.engine.firewall_zone import build_zone
from tests.clean_up import remove_firewall_rules
from tests.engine.own_host import OwnHost
from tests.engine.parts import asked, is_open, reaches, run_inside
from tests.patience import within


@pytest.fixture
async def build(engine: Engine, base_image: str, host: OwnHost, no_rules: None) -> AsyncIterator[str]:
    """A container where builds are; the engine asks our own host about names for it."""
    network = await networks.ensure_build_network(engine, 1)
    body = {
        "Image": base_image,
        "Cmd": ["sleep", "600"],
        "HostConfig": {"NetworkMode": network, "Dns": [str(host.private)], "Init": True},
    }
    container = await engine.request("POST", "containers/create", body=body)
    await engine.request("POST", f"containers/{container['Id']}/start")
    yield container["Id"]
    await engine.request("DELETE", f"containers/{container['Id']}", params={"force": "true"})


async def resolves(engine: Engine, container: str, host: OwnHost, name: str) -> bool:
    _, text = await run_inside(engine, container, "busybox", "timeout", "5", "busybox", "nslookup", name)
    return str(host.public) in text


async def until_settled(engine: Engine) -> None:
    """The engine takes its jump to DOCKER-USER away for a moment when anybody makes a network."""
    async with within(10):
        while await firewall.restrict_builds(engine, ()):
            continue


async def gateway_of(engine: Engine, container: str) -> str:
    inspected = await engine.request("GET", f"containers/{container}/json")
    (network,) = inspected["NetworkSettings"]["Networks"].values()
    return str(network["Gateway"])


async def test_builds_reach_the_internet_and_nothing_private(
    engine: Engine, build: str, host: OwnHost, listener: int
) -> None:
    gateway = await gateway_of(engine, build)
    own = {"gateway": f"{gateway}:{listener}", "public address of this host": f"{host.here}:{listener}"}
    closed = {**host.closed, **own}
    for what, place in closed.items():
        assert await is_open(engine, build, host, place), f"{what} is open without rules: the test can fail"
    host.seen.clear()

    assert await firewall.restrict_builds(engine, ())

    for what, place in closed.items():
        assert not await reaches(engine, build, host, place), what
    assert host.seen == []
    assert await reaches(engine, build, host, host.public)
    await remove_firewall_rules(engine)
    for what, place in closed.items():
        assert await is_open(engine, build, host, place), f"{what} is open again without rules"


async def test_a_refused_connection_ends_at_once(engine: Engine, build: str, host: OwnHost) -> None:
    await firewall.restrict_builds(engine, ())

    assert "Connection refused" in await asked(engine, build, host.private)


async def test_name_servers_answer_builds_on_their_port_only(
    engine: Engine, build: str, host: OwnHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firewall, "resolvers_of_host", lambda: [host.private])
    await firewall.restrict_builds(engine, ())
    host.seen.clear()

    assert await resolves(engine, build, host, "example.invalid"), "by the engine's resolver at 127.0.0.11"
    assert not await reaches(engine, build, host, host.private)

    monkeypatch.setattr(firewall, "resolvers_of_host", lambda: [])
    await firewall.restrict_builds(engine, ())
    assert not await resolves(engine, build, host, "another.invalid")


async def test_networks_that_the_operator_allows_are_open(
    engine: Engine, build: str, host: OwnHost, listener: int
) -> None:
    await firewall.restrict_builds(engine, (IPv4Network(host.private), IPv4Network(host.here)))

    assert await reaches(engine, build, host, host.private)
    assert await reaches(engine, build, host, f"{host.here}:{listener}")
    assert not await reaches(engine, build, host, host.shared)


async def test_a_published_port_of_a_container_stays_closed(
    engine: Engine, build: str, base_image: str, host: OwnHost
) -> None:
    """The engine replaces this host's address by the container's before any rule for forwarding sees it."""
    body = {
        "Image": base_image,
        "Cmd": ["nc", "-ll", "-p", "80", "-e", "echo", f"HTTP/1.0 200 OK\r\n\r\n{host.word}"],
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "0"}]}, "Init": True},
    }
    container = await engine.request("POST", "containers/create", body=body)
    try:
        await engine.request("POST", f"containers/{container['Id']}/start")
        inspected = await engine.request("GET", f"containers/{container['Id']}/json")
        port = inspected["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
        assert await reaches(engine, build, host, f"{host.here}:{port}"), "open before: the test can fail"

        await firewall.restrict_builds(engine, ())

        assert not await reaches(engine, build, host, f"{host.here}:{port}")
    finally:
        await engine.request("DELETE", f"containers/{container['Id']}", params={"force": "true"})


async def test_rules_are_written_only_when_they_are_missing(
    engine: Engine, build: str, host: OwnHost
) -> None:
    assert await firewall.restrict_builds(engine, ())
    await until_settled(engine)
    assert await firewall.restrict_builds(engine, (IPv4Network(host.private),)), "another rule"

    for damage in (
        ("-F", build_zone(engine).chain),
        ("-D", build_zone(engine).chain, "1"),
        ("-I", build_zone(engine).chain, "1", "-j", "RETURN"),
        ("-D", "INPUT", *_jump(engine)),
        ("-D", "DOCKER-USER", *_jump(engine)),
        ("-I", "DOCKER-USER", "1", "-s", f"{host.public}/32", "-j", "ACCEPT"),
    ):
        await asyncio.to_thread(_iptables, *damage)
        try:
            assert await firewall.restrict_builds(engine, ()), damage
            await until_settled(engine)
            assert not await reaches(engine, build, host, host.shared)
            assert await asyncio.to_thread(_jumps, engine) <= 3, damage
        finally:
            if damage[1] == "DOCKER-USER" and damage[0] == "-I":
                await asyncio.to_thread(_iptables, "-D", "DOCKER-USER", *damage[3:])

    await remove_firewall_rules(engine)
    assert await asyncio.to_thread(_jumps, engine) == 0


async def test_without_docker_user_the_rules_are_in_forward(
    engine: Engine, build: str, host: OwnHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with an engine that writes nftables itself."""
    monkeypatch.setattr(firewall_zone, "forwarding_places", lambda listed: ["FORWARD"])

    assert await firewall.restrict_builds(engine, ())

    assert not await reaches(engine, build, host, host.private)
    assert await reaches(engine, build, host, host.public)
    assert not await firewall.restrict_builds(engine, ())


async def test_without_the_right_to_change_rules_there_are_no_builds(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(firewall.BuildsNotRestricted) as caught:
        await firewall.restrict_builds(engine, ())

    assert "can't be closed" in caught.value.message
    assert "iptables can't be run" in caught.value.reason


def _jump(engine: Engine) -> tuple[str, ...]:
    return "-i", f"{networks.build_interfaces(engine)}+", "-j", build_zone(engine).chain


def _iptables(*arguments: str) -> str:
    return subprocess.run(
        ["iptables", "-w", "5", *arguments], check=True, capture_output=True, text=True
    ).stdout


def _jumps(engine: Engine) -> int:
    return _iptables("-S").count(f"-j {build_zone(engine).chain}\n")
