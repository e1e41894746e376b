"""Notices at once when the proxy accepts no connections: nobody reaches an app then, whatever its container does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from stackyn_server.engine.http_probe import accepts_connections
from stackyn_server.ingress.driver import Ingress

log = structlog.get_logger()

_LOOK_SECONDS = 0.5
_CONNECT_SECONDS = 1.0
_REFUSALS = 2  # in a row: a hand-over from one proxy to the next may refuse one


class IngressWatch:
    """`is_open`: one of the entry points accepts connections. True before the first look, and without a proxy."""

    def __init__(self, ingress: Ingress, on_change: Callable[[], None]) -> None:
        self._ingress = ingress
        self._on_change = on_change
        self._refusals = 0

    def is_open(self) -> bool:
        return self._refusals < _REFUSALS

    async def run(self) -> None:
        """Look for ever. Run it as a supervised task; it needs no engine."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        was_open = self.is_open()
        self._refusals = 0 if await self._is_accepting() else self._refusals + 1
        if self.is_open() is not was_open:
            log.warning("ingress.opened" if was_open is False else "ingress.closed")
            self._on_change()

    async def _is_accepting(self) -> bool:
        points = self._ingress.entry_points
        accepting = [
            await accepts_connections(point.address, point.port, timeout_seconds=_CONNECT_SECONDS)
            for point in points
        ]
        return any(accepting) or not points
