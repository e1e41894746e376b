"""Check which network addresses a repository's host leads to, before git connects to one of them.

A tenant chooses the URL and this server opens the connection. Without these rules a repository URL would reach
everything that only the server can reach (server-side request forgery).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.pause import Pause
from stackyn_server.source.repository_url import RepositoryUrl

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


def is_allowed_address(settings: SourceSettings, address: Address) -> bool:
    """Return True for addresses of the public internet and of the networks in `allowed_private`."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        for network in _CARRIES_IPV4:
            if address in network:
                address = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
                break
    if any(_within(address, ipaddress.ip_network(text)) for text in settings.allowed_private):
        return True
    if any(_within(address, network) for network in _NEVER):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _within(address: Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return address.version == network.version and address in network


async def vet_host(settings: SourceSettings, url: RepositoryUrl) -> tuple[Address, ...]:
    """Resolve the host and return its allowed addresses, in the resolver's order.

    Raises `DeploymentFailed` when all addresses are internal (SOURCE_REFUSED), or when the name does not exist
    (SOURCE_UNREACHABLE), and `TransientFailure` (SOURCE_UNREACHABLE) when the resolver fails.
    """
    resolved = await _resolve(settings, url)
    addresses = dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in resolved)
    allowed = tuple(address for address in addresses if is_allowed_address(settings, address))
    if not allowed:
        raise DeploymentFailed.of(
            FailureCode.SOURCE_REFUSED,
            f"The repository's host {url.host} leads to a private or internal address, which is not allowed.",
            "Use a repository on a public address, or ask the operator of this server to allow its network.",
        )
    return allowed


async def _resolve(settings: SourceSettings, url: RepositoryUrl) -> list[Any]:
    """Resolve the host, with retries for a name that does not exist: a new name takes a moment to appear."""
    loop = asyncio.get_running_loop()
    pause = Pause(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _PAUSE_GROWTH)
    for attempt in range(1, _TRIES + 1):
        try:
            async with asyncio.timeout(settings.stall_seconds):
                return await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise _unresolved(TransientFailure, url, "the resolver did not answer") from error
        except UnicodeError as error:
            raise _unresolved(DeploymentFailed, url, str(error)) from error
        except OSError as error:
            if error.errno not in _NO_SUCH_NAME:
                raise _unresolved(TransientFailure, url, str(error)) from error
            if attempt == _TRIES:
                raise _unresolved(DeploymentFailed, url, str(error)) from error
            await pause.wait()
    raise AssertionError("the last try returns or raises")


async def first_reachable(
    settings: SourceSettings, url: RepositoryUrl, addresses: tuple[Address, ...]
) -> Address:
    """Return the first address that accepts a connection, so that git uses one that works.

    git itself would wait two minutes for an address that drops packets. Raises `TransientFailure`.
    """
    evidence = []
    for address in addresses:
        try:
            async with asyncio.timeout(settings.stall_seconds):
                _, writer = await asyncio.open_connection(str(address), url.port)
        except TimeoutError:
            evidence.append(f"{url.host} port {url.port}: no answer within {settings.stall_seconds:g} s")
        except OSError as error:
            evidence.append(f"{url.host} port {url.port}: {error.strerror or 'connection failed'}")
        else:
            writer.transport.abort()
            return address
    raise TransientFailure.of(
        FailureCode.SOURCE_UNREACHABLE,
        f"The repository's host {url.host} does not accept connections on port {url.port}.",
        "Check the repository URL and whether its host is up, then deploy again.",
        "\n".join(evidence),
    )


def _unresolved(kind: type[DeploymentFailed], url: RepositoryUrl, reason: str) -> DeploymentFailed:
    return kind.of(
        FailureCode.SOURCE_UNREACHABLE,
        f"The repository's host name {url.host} can't be resolved.",
        "Check the spelling of the repository URL, then deploy again.",
        f"{url.host}: {reason}",
    )
