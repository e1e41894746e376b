"""The addresses of this machine's own interfaces, as the kernel has them. What listens there is not for tenants."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NET = Path("/proc/net")
_LOCAL = "host LOCAL"


def own_networks(folder: Path = _NET) -> frozenset[Network]:
    """Return every address that the kernel delivers to this machine itself, in any of its interfaces. Blocks.

    They are networks because a whole one can be local, as 127.0.0.0/8 is.
    """
    return frozenset([*_ipv4(folder / "fib_trie"), *_ipv6(folder / "if_inet6")])


def _ipv4(routes: Path) -> Iterator[Network]:
    """Read the kernel's routes: an address (`|-- 10.0.0.1`), and below it a line for each of its prefixes."""
    address = ""
    for line in _lines(routes):
        text = line.strip()
        if text.startswith("|--"):
            address = text.split()[1]
        elif text.endswith(_LOCAL):
            yield ipaddress.IPv4Network(f"{address}{text.split()[0]}")


def _ipv6(interfaces: Path) -> Iterator[Network]:
    for line in _lines(interfaces):  # 32 hexadecimal digits, then index, prefix length, scope, flags and name
        yield ipaddress.IPv6Network(int(line.split()[0], 16))


def _lines(table: Path) -> list[str]:
    """Return the lines of one of the kernel's tables; none where the machine doesn't have that version of IP."""
    try:
        return table.read_text("ascii").splitlines()
    except FileNotFoundError:
        return []
