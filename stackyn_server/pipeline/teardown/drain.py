"""Wait until an instance has no open connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from stackyn_server.engine import sockets

LOOK_SECONDS = 1.0  # zero connections must be seen twice, this far apart


async def _keep_limit() -> None:
    await asyncio.sleep(LOOK_SECONDS)


async def until_quiet(
    pid: int,
    port: int,
    seconds: float,
    *,
    is_disturbed: Callable[[], bool] = lambda: False,
    next_limit: Callable[[], Awaitable[float | None]] = _keep_limit,
) -> bool:
    """Return True when no connection to `port` is left; False after `seconds`, or as soon as `is_disturbed`.

    `next_limit` passes the time between two looks, `LOOK_SECONDS` or less. It returns the seconds that are left when
    the limit has been changed, and None when it has not.
    """
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
        if (left := await next_limit()) is not None:
            deadline = loop.time() + left
