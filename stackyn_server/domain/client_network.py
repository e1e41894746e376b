"""The network that a request comes from, by which strangers are counted."""

from __future__ import annotations

import ipaddress
from typing import NewType

ClientNetwork = NewType("ClientNetwork", str)

_IPV6_PREFIX = 64  # what one customer has at least: its addresses are as many as it likes


def network_of(address: str) -> ClientNetwork:
    """Return an IPv4 address as it is, and the /64 of an IPv6 one. What is no address stands for itself."""
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return ClientNetwork(address)
    if isinstance(read, ipaddress.IPv4Address):
        return ClientNetwork(str(read))
    if read.ipv4_mapped is not None:
        return ClientNetwork(str(read.ipv4_mapped))
    return ClientNetwork(str(ipaddress.IPv6Network((int(read), _IPV6_PREFIX), strict=False)))
