"""Bridges: who reaches whom, and what happens when one is gone or in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Network

import pytest

from stackyn_server import config
from stackyn_server.domain.seats import SEATS_PER_BRIDGE, address_of, bridge_of
from stackyn_server.engine import containers, networks
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.networks import NetworkConflict
from tests.engine.building import succeeds
from tests.engine.parts import answers, new_id, run_inside, until_answers

Spec = Callable[..., ContainerSpec]
SERVE = "nc -ll -p 8080 -e echo hello"


async def test_the_host_reaches_a_container_and_its_neighbour_does_not(engine: Engine, spec: Spec) -> None:
    serving = spec(command=SERVE)
    await containers.start(engine, serving)
    await until_answers(serving.address, 8080)
    neighbour = await containers.start(engine, spec())

    code, text = await run_inside(
        engine, neighbour, "nc", "-w", "2", str(serving.address), "8080", "-e", "cat"
    )

    assert code != 0, text
    assert await answers(serving.address, 8080)


async def test_no_container_can_guess_the_name_of_another(engine: Engine, spec: Spec) -> None:
    """The engine resolves names of containers for all that share a network; numbers alone could be tried out."""
    wanted = spec()
    found = await containers.inspect(engine, await containers.start(engine, wanted))
    curious = await containers.start(engine, spec())

    async def address_of_name(name: str) -> str:
        command = ("busybox", "timeout", "10", "busybox", "nslookup", "-type=a", name)
        return (await run_inside(engine, curious, *command))[1]

    assert found is not None
    assert str(wanted.address) in await address_of_name(found.name), "it resolves whoever knows the name"
    assert str(wanted.address) not in await address_of_name(f"stackyn-i{wanted.instance}")


async def test_host_reaches_last_address_of_a_bridge_and_the_next(engine: Engine, spec: Spec) -> None:
    seats = [SEATS_PER_BRIDGE - 1, SEATS_PER_BRIDGE]
    subnet = engine.network.subnet
    placed = [
        spec(command=SERVE, bridge=bridge_of(subnet, seat), address=address_of(subnet, seat, 1))
        for seat in seats
    ]
    for placement in placed:
        await containers.start(engine, placement)

    for placement in placed:
        await until_answers(placement.address, 8080)
    assert len({placement.bridge.number for placement in placed}) == 2


async def test_a_container_of_another_bridge_is_not_reached_either(engine: Engine, spec: Spec) -> None:
    """A build must not reach the apps: its network is another bridge."""
    serving = spec(command=SERVE)
    await containers.start(engine, serving)
    await until_answers(serving.address, 8080)
    elsewhere = await containers.start(
        engine,
        spec(bridge=bridge_of(engine.network.subnet, 600), address=address_of(engine.network.subnet, 600, 0)),
    )

    code, _ = await run_inside(engine, elsewhere, "nc", "-w", "2", str(serving.address), "8080", "-e", "cat")

    assert code != 0


async def test_network_is_made_once_and_remade_with_its_addresses(engine: Engine) -> None:
    bridge = bridge_of(engine.network.subnet, 1100)
    name = await networks.ensure_app_bridge(engine, bridge)
    before = await engine.request("GET", f"networks/{name}")

    assert await networks.ensure_app_bridge(engine, bridge) == name
    same = await engine.request("GET", f"networks/{name}")
    await engine.request("DELETE", f"networks/{name}")
    await networks.ensure_app_bridge(engine, bridge)
    again = await engine.request("GET", f"networks/{name}")

    assert same["Id"] == before["Id"]
    assert again["Id"] != before["Id"]
    assert again["IPAM"]["Config"] == before["IPAM"]["Config"]
    assert before["IPAM"]["Config"][0]["Gateway"] == str(bridge.gateway)
    assert before["IPAM"]["Config"][0]["IPRange"] == str(bridge.dynamic_range)
    assert before["EnableIPv6"] is False


async def test_initial_networks_are_of_build_slots_and_first_addresses(engine: Engine) -> None:
    await networks.ensure_initial_networks(engine, build_slots=2)

    listed = await engine.ask(engine.docker.networks.list(filters=engine.labels.object_filter()))
    assert {network["Name"] for network in listed} >= {
        networks.build_network_name(engine, 0),
        networks.build_network_name(engine, 1),
        networks.app_network_name(engine, bridge_of(engine.network.subnet, 0)),
    }


async def test_first_apps_may_request_their_network_concurrently(engine: Engine) -> None:
    """The engine reserves the addresses of a network well before it lists it."""
    bridge = bridge_of(engine.network.subnet, 2100)

    names = await asyncio.gather(*(networks.ensure_app_bridge(engine, bridge) for _ in range(8)))

    assert set(names) == {networks.app_network_name(engine, bridge)}


async def test_addresses_in_use_are_a_conflict_with_a_sentence(engine: Engine) -> None:
    bridge = bridge_of(engine.network.subnet, 1100)
    await networks.ensure_app_bridge(engine, bridge)
    async with Engine(engine.settings, engine.network, f"other-{new_id()}") as other_engine:
        with pytest.raises(NetworkConflict) as caught:
            await networks.ensure_app_bridge(other_engine, bridge)

    assert str(bridge.subnet) in caught.value.message
    assert "[network]" in caught.value.hint


async def test_a_network_of_our_name_that_is_open_inside_is_refused(engine: Engine) -> None:
    bridge = bridge_of(engine.network.subnet, 1600)
    name = networks.app_network_name(engine, bridge)
    pool = {"Subnet": str(bridge.subnet), "Gateway": str(bridge.gateway)}
    await engine.request(
        "POST",
        "networks/create",
        body={
            "Name": name,
            "IPAM": {"Config": [pool]},
            "Labels": engine.labels.network(networks.Role.APP_NETWORK),
        },
    )

    with pytest.raises(NetworkConflict):
        await networks.ensure_app_bridge(engine, bridge)


def test_interface_name_fits_into_fifteen_characters(engine: Engine) -> None:
    largest = IPv4Network("10.0.0.0/8").num_addresses // 2048 - 1

    assert len(f"{networks.interface_prefix(engine)}a{largest}") <= 15


def test_each_build_slot_has_a_subnet_of_its_own() -> None:
    whole = config.NetworkSettings().build_subnet

    slots = [networks.build_subnet_of(whole, slot) for slot in range(4)]

    assert len(set(slots)) == 4
    assert all(subnet.prefixlen == 28 and subnet.subnet_of(whole) for subnet in slots)
    with pytest.raises(ValueError, match="outside"):
        networks.build_subnet_of(whole, whole.num_addresses // 16)


async def test_a_build_runs_on_the_network_of_its_slot(
    engine: Engine, base_image: str, builder: Builder, build_request: Callable[..., BuildRequest]
) -> None:
    name = await networks.ensure_build_network(engine, 3)
    dockerfile = f"FROM {base_image}\nRUN cat /proc/net/fib_trie\n"

    _, lines = await succeeds(builder, build_request(network=name), dockerfile)

    subnet = networks.build_subnet_of(engine.network.build_subnet, 3)
    assert any(str(address) in line for address in subnet.hosts() for line in lines), lines
