"""The requests that the proxy holds: they wait here until a job handler decides whether they pass.

Kept in memory only. The proxy asks again after a restart of this server, and the rows say whether a route is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum, auto

from stackyn_server.domain.ids import AppId


class HoldDecision(StrEnum):
    WAIT = auto()
    PASS = auto()
    REFUSE = auto()


@dataclass(slots=True)
class Hold:
    """The decision for one app's held requests. `used` counts the requests that asked since the last decision."""

    decision: HoldDecision = HoldDecision.WAIT
    used: int = 0
    waiting: int = 0
    refuses_until: float = 0.0
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def decide(self, decision: HoldDecision) -> None:
        self.decision, self.used = decision, 0
        self.decided.clear() if decision is HoldDecision.WAIT else self.decided.set()

    async def until_decided(self) -> HoldDecision:
        """Return the decision as soon as it isn't WAIT. Waits without a limit."""
        while self.decision is HoldDecision.WAIT:
            await self.decided.wait()
        return self.decision


class HeldRequests:
    """One `Hold` for each app whose route is held. No method awaits between reading a decision and changing it."""

    def __init__(self) -> None:
        self._holds: dict[AppId, Hold] = {}
        self._is_closed = False

    def pass_all(self, app: AppId) -> None:
        """The instance is ready: every request passes, whatever the route says."""
        self._hold(app).decide(HoldDecision.PASS)

    def hold(self, app: AppId) -> None:
        """Every request waits from now on."""
        self._hold(app).decide(HoldDecision.WAIT)

    def hold_if_unused(self, app: AppId) -> bool:
        """Hold requests from now on, unless one has passed since `pass_all`. Returns whether they are held."""
        if self.is_used(app):
            return False
        self.hold(app)
        return True

    def is_used(self, app: AppId) -> bool:
        hold = self._holds.get(app)
        return hold is not None and (hold.used > 0 or hold.waiting > 0)

    def refuse(self, app: AppId, seconds: float = 0) -> None:
        """Refuse every request that waits now, and those that arrive within `seconds`."""
        hold = self._hold(app)
        hold.decide(HoldDecision.REFUSE)
        hold.refuses_until = asyncio.get_running_loop().time() + seconds
        if not seconds:
            del self._holds[app]

    def refuse_waiting(self, app: AppId) -> None:
        """Refuse the requests that wait now; those that arrive later wait."""
        self.refuse(app)
        self.hold(app)

    def forget(self, app: AppId) -> None:
        """The route isn't held any more; requests that still wait pass."""
        if hold := self._holds.pop(app, None):
            hold.decide(HoldDecision.PASS)

    def close(self) -> None:
        """This server stops: refuse every request, now and from now on."""
        self._is_closed = True
        for app in list(self._holds):
            self.refuse(app)

    def waiting(self, app: AppId) -> int:
        hold = self._holds.get(app)
        return hold.waiting if hold else 0

    def ask(self, app: AppId) -> HoldDecision:
        """Return the decision for one request, and count the request as a use of the app."""
        if self._is_closed:
            return HoldDecision.REFUSE
        hold = self._holds.get(app)
        if hold is None:
            return HoldDecision.WAIT
        if hold.decision is HoldDecision.REFUSE and hold.refuses_until <= asyncio.get_running_loop().time():
            hold.decide(HoldDecision.WAIT)
        hold.used += 1
        return hold.decision

    @contextmanager
    def waiting_place(self, app: AppId) -> Iterator[Hold]:
        """Count a request among those that wait, so that `is_used` sees it."""
        hold = self._hold(app)
        hold.waiting += 1
        try:
            yield hold
        finally:
            hold.waiting -= 1
            if hold.waiting == 0 and hold.decision is HoldDecision.WAIT and self._holds.get(app) is hold:
                del self._holds[app]

    def _hold(self, app: AppId) -> Hold:
        return self._holds.setdefault(app, Hold())
