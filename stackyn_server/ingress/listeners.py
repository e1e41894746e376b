"""How many sockets of this host listen on a port: the way to see a second proxy come up beside the first."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN = "0A"
_PAUSE_SECONDS = 0.02
_SETTLED_SECONDS = 0.5


def listening(ports: Collection[int]) -> Counter[int]:
    """Count the listening TCP sockets of each of `ports`, IPv4 and IPv6. Blocking."""
    found: Counter[int] = Counter(dict.fromkeys(ports, 0))
    found.update(port for port, _ in _listeners() if port in found)
    return found


def inodes(ports: Collection[int]) -> frozenset[int]:
    """Return the inodes of the listening TCP sockets of `ports`, by which /proc names a process's sockets. Blocking."""
    return frozenset(inode for port, inode in _listeners() if port in ports)


def _listeners() -> Iterator[tuple[int, int]]:
    """Yield port and inode."""
    for table in _TABLES:
        if not table.exists():  # a host without IPv6
            continue
        for line in table.read_text("ascii").splitlines()[1:]:
            _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
            if state == _LISTEN:
                yield int(local.rpartition(":")[2], 16), int(inode)


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
