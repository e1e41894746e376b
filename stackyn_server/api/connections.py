"""What a connection of the API may cost before its first request is there: a place, and some seconds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from stackyn_server.config import ServerSettings
from stackyn_server.domain.client_network import ClientNetwork, network_of

_THIS_MACHINE = frozenset(map(network_of, ("127.0.0.1", "::1")))  # the ingress, which counts for itself


class OpenConnections:
    """Counts the connections of each network outside of this machine."""

    def __init__(self, settings: ServerSettings) -> None:
        self.header_seconds = settings.header_seconds
        self._most = settings.connections_per_address
        self._open: Counter[ClientNetwork] = Counter()

    def enter(self, address: str) -> bool:
        """Count one more. False, and not counted: its network has as many as it may have."""
        network = network_of(address)
        if network in _THIS_MACHINE:
            return True
        if self._open[network] >= self._most:
            return False
        self._open[network] += 1
        return True

    def leave(self, address: str) -> None:
        network = network_of(address)
        if self._open[network] > 1:
            self._open[network] -= 1
        else:
            self._open.pop(network, None)


class HeadDeadline:
    """Closes a connection whose request line and headers are not there in time."""

    def __init__(self, seconds: float, close: Callable[[], None]) -> None:
        self._seconds = seconds
        self._close = close
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the time, unless it runs: a byte now and then gives no more of it."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)

    def _end(self) -> None:
        self._timer = None
        self._close()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
