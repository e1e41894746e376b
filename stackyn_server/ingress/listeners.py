"""Counts the listening sockets of this machine's ports: how we see that a second proxy listens beside the first."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from stackyn_server.domain.tcp_table import LISTEN, TcpSocket, parse_tcp_table

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_PAUSE_SECONDS = 0.02
_STABLE_SECONDS = 0.5


def listener_counts(ports: Collection[int]) -> Counter[int]:
    """Count the listening TCP sockets of each of `ports`, IPv4 and IPv6. Blocking."""
    counts: Counter[int] = Counter(dict.fromkeys(ports, 0))
    counts.update(listener.port for listener in listeners(ports))
    return counts


def listener_inodes(ports: Collection[int]) -> frozenset[int]:
    """Return the inodes of the listening TCP sockets of `ports`. Blocking."""
    return frozenset(listener.inode for listener in listeners(ports))


async def wait_for_second_listeners(before: Counter[int]) -> None:
    """Return when each port of `before` has had more listeners than `before` for 0.5 s. Has no timeout.

    A proxy that can't have its second port listens on the first one for a moment before it ends.
    """
    since: float | None = None
    while since is None or time.monotonic() - since < _STABLE_SECONDS:
        await asyncio.sleep(_PAUSE_SECONDS)  # the kernel sends no event for a new listener
        now = await asyncio.to_thread(listener_counts, before)
        if any(now[port] <= before[port] for port in before):
            since = None
        elif since is None:
            since = time.monotonic()


def listeners(ports: Collection[int]) -> Iterator[TcpSocket]:
    """Yield the listening TCP sockets of `ports`. Blocking."""
    for table in _TABLES:
        if table.exists():  # tcp6 is missing on a machine without IPv6
            for entry in parse_tcp_table(table.read_text("ascii")):
                if entry.state == LISTEN and entry.port in ports:
                    yield entry
