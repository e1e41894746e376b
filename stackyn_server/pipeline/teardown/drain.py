"""Waiting until nobody is connected to an instance any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stackyn_server.engine import sockets

LOOK_SECONDS = 1.0  # zero connections must be seen twice, this far apart


async def until_quiet(pid: int, port: int, seconds: float, *, is_disturbed: Callable[[], bool]) -> bool:
    """Return True when no connection to `port` is left; False after `seconds`, or as soon as it is disturbed."""
    loop = asyncio.get_running_loop()
    quiet, deadline = 0, loop.time() + seconds
    while True:
        quiet = quiet + 1 if await asyncio.to_thread(sockets.count_connections, pid, port) == 0 else 0
        if is_disturbed():
            return False
        if quiet == 2:
            return True
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
