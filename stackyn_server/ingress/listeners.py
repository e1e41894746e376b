"""How many sockets of this host listen on a port: the way to see a second proxy come up beside the first."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from stackyn_server.domain.tcp_table import LISTEN, TcpSocket, parse_tcp_table

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_PAUSE_SECONDS = 0.02
_SETTLED_SECONDS = 0.5


def listening(ports: Collection[int]) -> Counter[int]:
    """Count the listening TCP sockets of each of `ports`, IPv4 and IPv6. Blocking."""
    count: Counter[int] = Counter(dict.fromkeys(ports, 0))
    count.update(socket.port for socket in _listeners(ports))
    return count


def inodes(ports: Collection[int]) -> frozenset[int]:
    """Return the inodes of the listening TCP sockets of `ports`, by which /proc names a process's sockets. Blocking."""
    return frozenset(socket.inode for socket in _listeners(ports))


def _listeners(ports: Collection[int]) -> Iterator[TcpSocket]:
    for table in _TABLES:
        if table.exists():  # a host may have no IPv6
            for socket in parse_tcp_table(table.read_text("ascii")):
                if socket.state == LISTEN and socket.port in ports:
                    yield socket


async def one_more_on_each(before: Counter[int]) -> None:
    """Return when each port of `before` has had more listeners than then for a while. Goes on without end.

    For a while: a proxy that can't have its second port has the first one for a moment before it ends.
    """
    since: float | None = None
    while since is None or time.monotonic() - since < _SETTLED_SECONDS:
        await asyncio.sleep(_PAUSE_SECONDS)  # the kernel announces nothing
        now = await asyncio.to_thread(listening, before)
        if any(now[port] <= before[port] for port in before):
            since = None
        elif since is None:
            since = time.monotonic()
