"""The name servers that containers use."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

_HOSTS = Path("/etc/resolv.conf")
# Where the host uses the stub resolver of systemd, the engine reads this file: containers can't reach the stub.
_SYSTEMD = Path("/run/systemd/resolve/resolv.conf")
_STUB = IPv4Address("127.0.0.53")


def resolvers_of_host(hosts: Path = _HOSTS, systemd: Path = _SYSTEMD) -> list[IPv4Address]:
    """Return the host's name servers, without those on loopback: the engine asks these for its containers. Blocks."""
    addresses = list(_listed(hosts))
    if _STUB in addresses:
        addresses += _listed(systemd)
    return list(dict.fromkeys(address for address in addresses if not address.is_loopback))


def _listed(file: Path) -> Iterator[IPv4Address]:
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                yield IPv4Address(words[1])
            except AddressValueError:
                continue  # IPv6: our bridges have none
