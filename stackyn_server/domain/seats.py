"""The addresses of apps. A seat is the pair of addresses (slots 0 and 1) that an app owns for its whole life: no other
app can then answer a request that a proxy still holds for one of them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

SEATS_PER_BRIDGE = 500  # two ports each; a Linux bridge has 1,024
_BRIDGE_SIZE = 2048  # the lower half for the gateway and dynamic addresses, the upper half for seats
_SEATS_BEGIN = 1024


@dataclass(frozen=True, slots=True)
class Bridge:
    """One app network. Dynamic addresses come from `dynamic_range`, apart from every seat."""

    number: int
    subnet: IPv4Network
    gateway: IPv4Address
    dynamic_range: IPv4Network


def seats_in(subnet: IPv4Network) -> int:
    """Return how many apps fit into `[network] subnet`."""
    return subnet.num_addresses // _BRIDGE_SIZE * SEATS_PER_BRIDGE


def bridge_of(subnet: IPv4Network, seat: int) -> Bridge:
    """Return the bridge that carries `seat`. Raises ValueError when the subnet has no room for it."""
    if not 0 <= seat < seats_in(subnet):
        raise ValueError(f"seat {seat} is outside {subnet}")
    number = seat // SEATS_PER_BRIDGE
    begin = subnet.network_address + number * _BRIDGE_SIZE
    return Bridge(number, IPv4Network((begin, 21)), begin + 1, IPv4Network((begin, 22)))


def address_of(subnet: IPv4Network, seat: int, slot: int) -> IPv4Address:
    """Return the address of `slot` (0 or 1) of `seat`."""
    if slot not in (0, 1):
        raise ValueError(f"a seat has slots 0 and 1, not {slot}")
    bridge = bridge_of(subnet, seat)
    return bridge.subnet.network_address + _SEATS_BEGIN + 2 * (seat % SEATS_PER_BRIDGE) + slot
