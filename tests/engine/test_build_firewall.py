"""Builds reach the internet, name servers and what the operator allows; nothing private, and nothing of this host."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from stackyn_server.engine import firewall, networks
from stackyn_server.engine.client import Engine
from stackyn_server.engine.resolvers import resolvers_of_host
from tests.clean_up import remove_firewall_rules
from tests.engine.own_host import OwnHost, own_host
from tests.engine.parts import run_inside
from tests.patience import within


@pytest.fixture
async def host() -> AsyncIterator[OwnHost]:
    async with own_host() as host:
        yield host


@pytest.fixture
async def no_rules(engine: Engine) -> AsyncIterator[None]:
    """No rules before the test, whatever built on this engine earlier, and none after it."""
    await remove_firewall_rules(engine)
    yield
    await remove_firewall_rules(engine)


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


@pytest.fixture
async def listener(host: OwnHost) -> AsyncIterator[int]:
    """A port of this machine, on every address, that says the word."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"HTTP/1.0 200 OK\r\n\r\n{host.word}".encode())
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", 0, family=socket.AF_INET)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def reaches(engine: Engine, container: str, host: OwnHost, place: object) -> bool:
    return host.word in await asked(engine, container, place)


async def is_open(engine: Engine, container: str, host: OwnHost, place: object) -> bool:
    """Whether it is reached by one of a few tries: on a busy machine a first answer may come after nc has given up."""
    for _ in range(5):
        if await reaches(engine, container, host, place):
            return True
    return False


async def asked(engine: Engine, container: str, place: object) -> str:
    """What an address and port (80 when none is named) answers, or why it doesn't. busybox's wget, being static,
    crashes in the C library's resolver."""
    address, _, port = str(place).partition(":")
    script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} {port or 80}"
    _, text = await run_inside(engine, container, "sh", "-c", script)
    return text


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
        ("-F", firewall.build_chain_name(engine)),
        ("-D", firewall.build_chain_name(engine), "1"),
        ("-I", firewall.build_chain_name(engine), "1", "-j", "RETURN"),
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
    monkeypatch.setattr(firewall, "forwarding_places", lambda listed: ["FORWARD"])

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


@pytest.mark.parametrize(
    ("listed", "places"),
    [
        (["-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A FORWARD -j X"], ["DOCKER-USER"]),
        (["-N DOCKER-USER", "-A FORWARD -j X", "-A FORWARD -j DOCKER-USER"], ["DOCKER-USER", "FORWARD"]),
        (["-N DOCKER-USER", "-A FORWARD -j X"], ["DOCKER-USER", "FORWARD"]),
        (["-A FORWARD -j X"], ["FORWARD"]),
    ],
    ids=["usual", "another rule first", "while a network is made", "nftables"],
)
def test_rules_come_before_the_engines_in_any_state(listed: list[str], places: list[str]) -> None:
    assert firewall.forwarding_places(listed) == places


@pytest.mark.parametrize(
    ("hosts", "systemd", "expected"),
    [
        ("nameserver 10.0.0.53\nnameserver fd00::53\n# nameserver 1.2.3.4\n", "", ["10.0.0.53"]),
        ("nameserver 127.0.0.1\n", "nameserver 10.0.0.53\n", []),
        ("nameserver 127.0.0.53\noptions edns0\n", "nameserver 192.168.0.1\nnameserver 10.0.0.1\n",
         ["192.168.0.1", "10.0.0.1"]),
        ("", "", []),
    ],
)  # fmt: skip
def test_name_servers_are_those_that_the_engine_uses(
    tmp_path_factory: pytest.TempPathFactory, hosts: str, systemd: str, expected: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("resolvers")
    (folder / "hosts").write_text(hosts)
    (folder / "systemd").write_text(systemd)

    resolvers = resolvers_of_host(folder / "hosts", folder / "systemd")

    assert resolvers == [IPv4Address(address) for address in expected]


def _jump(engine: Engine) -> tuple[str, ...]:
    return "-i", f"{networks.build_interfaces(engine)}+", "-j", firewall.build_chain_name(engine)


def _iptables(*arguments: str) -> str:
    return subprocess.run(
        ["iptables", "-w", "5", *arguments], check=True, capture_output=True, text=True
    ).stdout


def _jumps(engine: Engine) -> int:
    return _iptables("-S").count(f"-j {firewall.build_chain_name(engine)}\n")
