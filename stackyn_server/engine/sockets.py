"""Sockets as a process's network namespace shows them in /proc. The files are read where they are asked for: tens of
thousands of entries take tens of milliseconds, so call these in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

Address = IPv4Address | IPv6Address

# Socket states as numbered in the kernel's include/net/tcp_states.h.
_ESTABLISHED, _SYN_RECEIVED, _LISTEN = "01", "03", "0A"
_ENGINE_RESOLVER = IPv4Address("127.0.0.11")  # Docker's own name server inside every app container


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A socket that accepts connections; `loopback`: only from inside its own container."""

    address: Address
    port: int
    loopback: bool

    @property
    def is_ipv6(self) -> bool:
        """It may accept IPv4 as well, on `::`: the kernel's tables don't say."""
        return self.address.version == 6


def count_connections(pid: int, port: int) -> int:
    """Count the connections to local `port`, ones being made included. 0 when the process is gone."""
    return sum(
        1
        for local, state in _sockets(pid)
        if state in (_ESTABLISHED, _SYN_RECEIVED) and int(local.partition(":")[2], 16) == port
    )


def count_accepted(pid: int) -> int:
    """Count the connections that were ever accepted in the process's namespace. 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/net/snmp").read_text("ascii").splitlines()
    except PermissionError:
        raise
    except OSError:
        return 0
    names, numbers = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(numbers[names.index("PassiveOpens")])


def listening_sockets(pid: int) -> list[ListeningSocket]:
    """Return what listens in the process's namespace, the engine's resolver left out. Empty when it is gone."""
    found = []
    for local, state in _sockets(pid):
        if state != _LISTEN:
            continue
        text, _, port = local.partition(":")
        address = _address(text)
        if address != _ENGINE_RESOLVER:
            found.append(ListeningSocket(address, int(port, 16), address.is_loopback))
    return found


def _sockets(pid: int) -> Iterator[tuple[str, str]]:
    """Yield (local address and port, state) in the kernel's hexadecimal."""
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{name}").read_text("ascii").splitlines()
        except PermissionError:
            raise
        except OSError:  # the process is gone; which error says so depends on how far its end has come
            continue
        for line in lines[1:]:
            _, local, _, state, *_ = line.split(maxsplit=4)
            yield local, state


def _address(text: str) -> Address:
    """Read an address of /proc/net: 32-bit words, each in the byte order of the machine (little endian)."""
    raw = bytes.fromhex(text)
    ordered = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    if len(ordered) == 4:
        return IPv4Address(ordered)
    address = IPv6Address(ordered)
    return address.ipv4_mapped or address
