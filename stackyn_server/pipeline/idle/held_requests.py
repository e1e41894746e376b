"""Who waits at a held app, and whether they may go on. In this process only: after a restart the proxy asks anew, and
the rows say the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from stackyn_server.domain.ids import AppId


class Verdict(StrEnum):
    WAIT = "wait"
    GO_ON = "go on"
    REFUSE = "refuse"


@dataclass(slots=True)
class Gate:
    verdict: Verdict = Verdict.WAIT
    asked: int = 0  # requests since the verdict was last given
    waiting: int = 0
    refuses_until: float = 0.0
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, verdict: Verdict) -> None:
        self.verdict, self.asked = verdict, 0
        self.decided.clear() if verdict is Verdict.WAIT else self.decided.set()

    async def decision(self) -> Verdict:
        """Return the verdict as soon as it isn't WAIT. Goes on without end."""
        while self.verdict is Verdict.WAIT:
            await self.decided.wait()
        return self.verdict


class Gates:
    """One gate for each app whose requests the proxy holds. Nothing here awaits between looking and deciding."""

    def __init__(self) -> None:
        self._gates: dict[AppId, Gate] = {}
        self._is_closed = False

    # The stories decide ---------------------------------------------------------------------------------------

    def open(self, app: AppId) -> None:
        """The instance is ready: everybody goes on, whatever the route says."""
        self._gate(app).give(Verdict.GO_ON)

    def shut(self, app: AppId) -> None:
        """From now on everybody waits."""
        self._gate(app).give(Verdict.WAIT)

    def shut_unless_asked(self, app: AppId) -> bool:
        """Shut an open gate, unless somebody has gone through it since it was opened. Says whether it is shut."""
        if self.is_asked(app):
            return False
        self.shut(app)
        return True

    def is_asked(self, app: AppId) -> bool:
        gate = self._gates.get(app)
        return gate is not None and (gate.asked > 0 or gate.waiting > 0)

    def refuse(self, app: AppId, seconds: float = 0) -> None:
        """Send everybody away who waits now, and who comes within `seconds`."""
        gate = self._gate(app)
        gate.give(Verdict.REFUSE)
        gate.refuses_until = asyncio.get_running_loop().time() + seconds
        if not seconds:
            del self._gates[app]

    def forget(self, app: AppId) -> None:
        """The route isn't held any more; who waits still goes on."""
        if gate := self._gates.pop(app, None):
            gate.give(Verdict.GO_ON)

    def close(self) -> None:
        """This server stops: send everybody away, now and from now on."""
        self._is_closed = True
        for app in list(self._gates):
            self.refuse(app)

    # Requests ask ---------------------------------------------------------------------------------------------

    def waiting(self, app: AppId) -> int:
        gate = self._gates.get(app)
        return gate.waiting if gate else 0

    def ask(self, app: AppId) -> Verdict:
        """Return the verdict as it is; a request that has asked is seen by whoever wants to shut the gate."""
        if self._is_closed:
            return Verdict.REFUSE
        gate = self._gates.get(app)
        if gate is None:
            return Verdict.WAIT
        if gate.verdict is Verdict.REFUSE and gate.refuses_until <= asyncio.get_running_loop().time():
            gate.give(Verdict.WAIT)
        gate.asked += 1
        return gate.verdict

    @contextmanager
    def place(self, app: AppId) -> Iterator[Gate]:
        """Count among those who wait, so that whoever wants to shut the gate sees it."""
        gate = self._gate(app)
        gate.waiting += 1
        try:
            yield gate
        finally:
            gate.waiting -= 1
            if gate.waiting == 0 and gate.verdict is Verdict.WAIT and self._gates.get(app) is gate:
                del self._gates[app]

    def _gate(self, app: AppId) -> Gate:
        return self._gates.setdefault(app, Gate())
