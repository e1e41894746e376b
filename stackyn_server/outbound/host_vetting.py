"""Check which network addresses a host that a tenant named leads to, before this server connects to one of them.

A tenant chooses the URL and this server opens the connection. Without these rules a URL would reach everything that
only the server can reach (server-side request forgery).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from typing import Any

from stackyn_server.config import SourceSettings
from stackyn_server.outbound.own_addresses import Network, own_networks
from stackyn_server.pause import Pause

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Back-off before a name that does not exist is resolved again.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _PAUSE_GROWTH = 1.0, 3.0, 3.0
_TRIES = 3
_NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)

# IPv6 ranges that carry an IPv4 address in their last 32 bits: RFC 4291 (mapped), RFC 6052 and RFC 8215 (NAT64).
_CARRIES_IPV4 = tuple(ipaddress.IPv6Network(n) for n in ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"))
# Ranges that `is_global` does not cover in every Python that we support: special IPv4 (RFC 6890; one holds a metadata
# service), 6to4 and its relays, Teredo, site-local, documentation, segment routing, and Azure's service on a public
# address.
_NEVER = tuple(
    ipaddress.ip_network(n)
    for n in (
        *("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),
        *("2002::/16", "2001::/32", "fec0::/10", "::/96", "3fff::/20", "5f00::/16"),
    )
)


class HostRefused(Exception):
    """Every address of the host is private, internal or this machine's own."""


class HostUnresolved(Exception):
    """The host's name has no address. `is_passing`: the resolver failed, so another try may succeed."""

    def __init__(self, reason: str, *, is_passing: bool) -> None:
        super().__init__(reason)
        self.reason, self.is_passing = reason, is_passing


class HostSilent(Exception):
    """None of the addresses accepts a connection. `evidence` has a line for each of them."""

    def __init__(self, evidence: str) -> None:
        super().__init__(evidence)
        self.evidence = evidence


def is_allowed_address(settings: SourceSettings, address: Address, own: Collection[Network] = ()) -> bool:
    """Return True for addresses of the public internet, except for those of this machine (`own`), and for addresses of
    the networks in `allowed_private`."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        for network in _CARRIES_IPV4:
            if address in network:
                address = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
                break
    if any(_within(address, ipaddress.ip_network(text)) for text in settings.allowed_private):
        return True
    if any(_within(address, network) for network in (*_NEVER, *own)):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _within(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


async def vet_host(settings: SourceSettings, host: str, port: int) -> tuple[Address, ...]:
    """Resolve the host and return its allowed addresses, in the resolver's order.

    Raises `HostRefused`, `HostUnresolved`.
    """
    resolved = await _resolve(settings, host, port)
    own = await asyncio.to_thread(own_networks)
    addresses = dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in resolved)
    allowed = tuple(address for address in addresses if is_allowed_address(settings, address, own))
    if not allowed:
        raise HostRefused(host)
    return allowed


async def _resolve(settings: SourceSettings, host: str, port: int) -> list[Any]:
    """Resolve the host, with retries for a name that does not exist: a new name takes a moment to appear."""
    loop = asyncio.get_running_loop()
    pause = Pause(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _PAUSE_GROWTH)
    for attempt in range(1, _TRIES + 1):
        try:
            async with asyncio.timeout(settings.stall_seconds):
                return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise HostUnresolved("the resolver did not answer", is_passing=True) from error
        except UnicodeError as error:
            raise HostUnresolved(str(error), is_passing=False) from error
        except OSError as error:
            if error.errno not in _NO_SUCH_NAME:
                raise HostUnresolved(str(error), is_passing=True) from error
            if attempt == _TRIES:
                raise HostUnresolved(str(error), is_passing=False) from error
            await pause.wait()
    raise AssertionError("the last try returns or raises")


async def first_reachable(
    settings: SourceSettings, host: str, port: int, addresses: tuple[Address, ...]
) -> Address:
    """Return the first address that accepts a connection, so that git uses one that works.

    git itself would wait two minutes for an address that drops packets. Raises `HostSilent`.
    """
    evidence = []
    for address in addresses:
        try:
            async with asyncio.timeout(settings.stall_seconds):
                _, writer = await asyncio.open_connection(str(address), port)
        except TimeoutError:
            evidence.append(f"{host} port {port}: no answer within {settings.stall_seconds:g} s")
        except OSError as error:
            evidence.append(f"{host} port {port}: {error.strerror or 'connection failed'}")
        else:
            writer.transport.abort()
            return address
    raise HostSilent("\n".join(evidence))
