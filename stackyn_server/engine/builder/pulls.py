"""Count the pulls of this process, and free what interrupted pulls left in containerd's image store.

When a pull's client or the engine goes away, that store keeps the fetched layers for 8 hours (28.5), up to a whole
image each time. The classic store removes them at once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineUnavailable

# No image has this label, so a prune with this filter removes only what interrupted pulls left.
_NO_IMAGE = json.dumps({"dangling": ["true"], "label": ["io.stackyn.no-image-has-this"]})
_FREEING_SECONDS = 120.0


class Pulls:
    """Counts the running pulls, and remembers whether one was interrupted."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._running = 0
        self._may_have_left = True  # an earlier process may have been killed

    @asynccontextmanager
    async def pulling(self) -> AsyncIterator[None]:
        """Hold this while an image is pulled."""
        async with self._lock:
            self._running += 1
        try:
            yield
        except (EngineUnavailable, asyncio.CancelledError):
            self._may_have_left = True
            raise
        finally:
            self._running -= 1

    async def free_leftovers(self, engine: Engine) -> bool:
        """Free what interrupted pulls left, unless a pull runs. Return whether the engine was asked to.

        A pull by another client of this engine at that moment may have to be repeated. Raises
        `EngineUnavailable`.
        """
        if not engine.facts.has_containerd_store:
            return False
        async with self._lock:
            if self._running or not self._may_have_left:
                return False
            await engine.request(
                "POST", "images/prune", params={"filters": _NO_IMAGE}, seconds=_FREEING_SECONDS
            )
            self._may_have_left = False
        return True
