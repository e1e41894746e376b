"""How long the event loop keeps those waiting whose turn it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_LOOK_SECONDS = 0.005


@dataclass(slots=True)
class Waited:
    """`seconds` is the longest wait until now."""

    seconds: float = 0.0


@asynccontextmanager
async def longest_wait() -> AsyncIterator[Waited]:
    """Watch the loop of the caller until the block is left."""
    waited = Waited()

    async def watch() -> None:
        while True:
            due = time.monotonic() + _LOOK_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
            waited.seconds = max(waited.seconds, time.monotonic() - due)

    watching = asyncio.create_task(watch(), name="longest wait")
    await asyncio.sleep(0)
    try:
        yield waited
        await asyncio.sleep(2 * _LOOK_SECONDS)  # so that a wait that lasts until now counts
    finally:
        watching.cancel()
