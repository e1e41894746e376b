"""The TCP sockets of an app, read from /proc in the network namespace of its process.

Tables of tens of thousands of sockets take tens of milliseconds to read: call these functions in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from stackyn_server.domain.tcp_table import (
    ESTABLISHED,
    LISTEN,
    SYN_RECEIVED,
    Address,
    TcpSocket,
    parse_tcp_table,
)

_ENGINE_RESOLVER = IPv4Address("127.0.0.11")  # Docker's own name server inside every app container


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A socket that accepts connections; `loopback`: only from inside its own container."""

    address: Address
    port: int
    loopback: bool

    @property
    def is_ipv6(self) -> bool:
        """An IPv6 socket on `::` may accept IPv4 as well: the kernel's tables don't say."""
        return self.address.version == 6


def count_connections(pid: int, port: int) -> int:
    """Count the connections to local `port`, including those that are being made. 0 when the process is gone."""
    return sum(
        1
        for connection in _sockets(pid)
        if connection.state in (ESTABLISHED, SYN_RECEIVED) and connection.port == port
    )


def count_accepted(pid: int) -> int:
    """Count the connections that were ever accepted in the process's namespace. 0 when the process is gone."""
    lines = _text(pid, "snmp").splitlines()
    if not lines:
        return 0
    names, numbers = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(numbers[names.index("PassiveOpens")])


def listening_sockets(pid: int) -> list[ListeningSocket]:
    """Return the listening sockets of the process's namespace, without those of the engine's resolver.

    Empty when the process is gone.
    """
    listeners = ((socket.address, socket.port) for socket in _sockets(pid) if socket.state == LISTEN)
    return [
        ListeningSocket(address, port, address.is_loopback)
        for address, port in listeners
        if address != _ENGINE_RESOLVER
    ]


def _sockets(pid: int) -> Iterator[TcpSocket]:
    for name in ("tcp", "tcp6"):
        yield from parse_tcp_table(_text(pid, name))


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/net/{name}").read_text("ascii")
    except PermissionError:
        raise
    except OSError:  # the process is gone; which error says so depends on how far its end has come
        return ""
