"""Which port a starting app is reached on: the expected one, or another one when the expected one does not open.

The first listener may be a debugger's or a metrics port, and the app's own may open later. So a port that was not
expected must be the only choice for some time. Pure: the time is an argument of each look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stackyn_server.engine.http_probe import ProbeReply
from stackyn_server.engine.sockets import ListeningSocket

# Every look probes each of them, and EXPOSE takes ranges of ports.
_MOST_KNOWN = 20


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at `at` (seconds of any clock): the replies of those ports that were asked and accept connections,
    and what listens in the container (read only while the expected port does not accept)."""

    at: float = 0.0
    replies: Mapping[int, ProbeReply] = field(default_factory=dict)
    listeners: tuple[ListeningSocket, ...] = ()


class PortSearch:
    """`known_ports` are ports that may serve instead of the `expected` one: those that the image exposes, lowest first.

    `patience_seconds` None: no other port may serve.
    """

    def __init__(self, expected: int, known_ports: tuple[int, ...], patience_seconds: float | None) -> None:
        self.expected = expected
        self._known = tuple(port for port in known_ports if port != expected)[:_MOST_KNOWN]
        self._patience = patience_seconds
        self._rival: int | None = None
        self._rival_since = 0.0

    @property
    def first_asked(self) -> tuple[int, ...]:
        return (self.expected, *(self._known if self._patience is not None else ()))

    def also_asked(self, listeners: tuple[ListeningSocket, ...]) -> tuple[int, ...]:
        """Return the port outside of `first_asked` that counts when it answers, if there is one."""
        if self._patience is None:
            return ()
        reachable = {listener.port for listener in listeners if not listener.loopback}
        return tuple(reachable - set(self.first_asked)) if len(reachable) == 1 else ()

    def choose(self, look: Look) -> int | None:
        """Return the app's port; None while it isn't known."""
        if self.expected in look.replies:
            self._rival = None
            return self.expected
        rival = self._find_rival(look)
        if rival != self._rival:
            self._rival, self._rival_since = rival, look.at
        if rival is None or self._patience is None:
            return None
        if self._known and rival == self._known[0]:
            return rival
        has_stayed = look.at - self._rival_since >= self._patience
        return rival if has_stayed and (rival in self._known or look.replies[rival].is_success) else None

    def fallback(self, look: Look) -> int | None:
        """Return the port that serves at the deadline: the only one that answers, if it has done so for long enough."""
        rival = self._rival
        if rival is None or self._patience is None or look.at - self._rival_since < self._patience:
            return None
        has_own = any(listener.port == self.expected for listener in look.listeners)
        return None if has_own else rival

    def _find_rival(self, look: Look) -> int | None:
        answering = [
            port for port in self._known if port in look.replies and look.replies[port].speaks_protocol
        ]
        if answering:
            return answering[0]
        (only,) = self.also_asked(look.listeners) or (None,)
        return (
            only if only is not None and only in look.replies and look.replies[only].speaks_protocol else None
        )
