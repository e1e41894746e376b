"""The bridge networks of apps, which cannot reach each other, and one small network for each build slot."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.domain.seats import Bridge, bridge_of
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable
from stackyn_server.engine.labels import Role

BUILD_PREFIX_LENGTH = 28  # the gateway, one build container, and addresses that the engine takes
_BRIDGE_NAME = "com.docker.network.bridge.name"
_OPTIONS = {
    "com.docker.network.bridge.enable_icc": "false",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
}


class NetworkConflict(EngineRefused):
    """The wanted subnet or name belongs to something else on this host. The operator must change `[network]`."""

    def __init__(self, answer: int, reason: str, subnet: IPv4Network) -> None:
        super().__init__(
            answer,
            reason,
            Failure(
                FailureCode.INTERNAL,
                f"The network {subnet} of this server is used by something else on its host.",
                "The operator chooses another range in [network] of config.toml, or removes the other network.",
            ),
        )


def app_network_name(engine: Engine, bridge: Bridge) -> str:
    return f"stackyn-{engine.labels.short}-apps{bridge.number}"


def build_network_name(engine: Engine, slot: int) -> str:
    return f"stackyn-{engine.labels.short}-build{slot}"


def interface_prefix(engine: Engine) -> str:
    """Return the beginning of our bridge interfaces' names. With a letter and a number, at most 15 characters."""
    return f"sk{engine.labels.short}"


def app_interfaces(engine: Engine) -> str:
    """Return the beginning of the names of the apps' bridge interfaces."""
    return f"{interface_prefix(engine)}a"


def build_interfaces(engine: Engine) -> str:
    """Return the beginning of the names of the builds' bridge interfaces."""
    return f"{interface_prefix(engine)}b"


async def ensure_app_bridge(engine: Engine, bridge: Bridge) -> str:
    """Return the name of the app network. A missing one is made, always with the same addresses.

    Raises `NetworkConflict`, `EngineUnavailable`.
    """
    name = app_network_name(engine, bridge)
    pool = {
        "Subnet": str(bridge.subnet),
        "Gateway": str(bridge.gateway),
        "IPRange": str(bridge.dynamic_range),
    }
    await _ensure(
        engine, name, f"{app_interfaces(engine)}{bridge.number}", bridge.subnet, pool, Role.APP_NETWORK
    )
    return name


async def ensure_build_network(engine: Engine, slot: int) -> str:
    """Return the name of the network of build slot `slot` (from 0), a /28 of `[network] build_subnet`.

    Raises ValueError when the subnet has no room for the slot; else what `ensure_app_bridge` raises.
    """
    subnet = build_subnet_of(engine.network.build_subnet, slot)
    name = build_network_name(engine, slot)
    pool = {"Subnet": str(subnet), "Gateway": str(subnet.network_address + 1)}
    await _ensure(engine, name, f"{build_interfaces(engine)}{slot}", subnet, pool, Role.BUILD_NETWORK)
    return name


async def ensure_initial_networks(engine: Engine, build_slots: int) -> None:
    """Make the networks of the first builds and apps, so that no first deployment waits for them.

    Raises what `ensure_app_bridge` raises.
    """
    for slot in range(build_slots):
        await ensure_build_network(engine, slot)
    await ensure_app_bridge(engine, bridge_of(engine.network.subnet, 0))


def build_subnet_of(build_subnet: IPv4Network, slot: int) -> IPv4Network:
    size = 2 ** (32 - BUILD_PREFIX_LENGTH)
    subnet = IPv4Network((build_subnet.network_address + slot * size, BUILD_PREFIX_LENGTH))
    if slot < 0 or not subnet.subnet_of(build_subnet):
        raise ValueError(f"build slot {slot} is outside {build_subnet}")
    return subnet


async def _ensure(
    engine: Engine, name: str, interface: str, subnet: IPv4Network, pool: dict[str, str], role: Role
) -> None:
    if await _exists(engine, name, subnet):
        return
    body = {
        "Name": name,
        "Driver": "bridge",
        "CheckDuplicate": True,  # before API 1.44 a second network of the same name was allowed
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Config": [pool]},
        "Options": {**_OPTIONS, _BRIDGE_NAME: interface},
        "Labels": engine.labels.network(role),
    }
    async with engine.network_lock:  # the engine reserves the addresses well before it lists the network
        if not await _exists(engine, name, subnet):
            await _create(engine, name, subnet, body)


async def _create(engine: Engine, name: str, subnet: IPv4Network, body: dict[str, Any]) -> None:
    try:
        await engine.ask(engine.docker.networks.create(body))
    except (EngineRefused, EngineUnavailable) as error:
        # Another process of ours made it meanwhile, or the addresses are taken (403; some engines answer 500).
        if await _exists(engine, name, subnet):
            return
        if isinstance(error, EngineRefused):
            raise NetworkConflict(error.answer, error.reason, subnet) from error
        raise


async def _exists(engine: Engine, name: str, subnet: IPv4Network) -> bool:
    """Return whether our network exists. Raises `NetworkConflict` when a network of this name is not ours or
    differs."""
    network: dict[str, Any] | None = await engine.request_or_none("GET", f"networks/{name}")
    if network is None or network.get("Name") != name:
        return False
    options = network.get("Options") or {}
    pools = (network.get("IPAM") or {}).get("Config") or []
    agrees = (
        engine.labels.owns_network(network.get("Labels") or {})
        and [pool.get("Subnet") for pool in pools] == [str(subnet)]
        and all(options.get(key) == value for key, value in _OPTIONS.items())
    )
    if not agrees:
        raise NetworkConflict(0, f"network {name} exists and differs", subnet)
    return True
