"""Whether a held request may go on: asked by the proxy for each turn of each held request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.jobs import Kind
from stackyn_server.errors import StackynError
from stackyn_server.ingress.render_context import HOLD_TURN_SECONDS
from stackyn_server.pipeline.idle.held_requests import Gates, Verdict
from stackyn_server.store import routes, work
from stackyn_server.store.database import Database
from stackyn_server.store.routes import RouteState

log = structlog.get_logger()

ASLEEP = "This app is still starting. Please try again in a moment."
REFUSED = "This app could not be started. Please try again later; its owner can see why."
CROWDED = "Too many requests are waiting for this app to start. Please try again in a moment."


@dataclass(frozen=True, slots=True)
class Answer:
    """`sentence` is for the visitor who is sent away, "" for one who may go on."""

    sentence: str = ""

    @property
    def may_go_on(self) -> bool:
        return not self.sentence


class Holding:
    """Lets requests wait for an app at rest, and has it woken. What it lets through has been ready just now."""

    def __init__(self, database: Database, gates: Gates, settings: config.HoldSettings) -> None:
        self._database = database
        self._gates = gates
        self._settings = settings

    async def ask(self, app: AppId, *, is_last_turn: bool) -> Answer:
        """Return within a turn, long before the proxy gives up on the question."""
        verdict = self._gates.ask(app)
        if verdict is Verdict.WAIT:
            if self._gates.waiting(app) >= self._settings.most_per_app:
                return Answer(CROWDED)
            try:
                async with asyncio.timeout(HOLD_TURN_SECONDS):
                    verdict = await self._decision(app)
            except TimeoutError:
                return Answer(ASLEEP) if is_last_turn else Answer()
            except StackynError as error:
                log.warning("hold.failed", app=app, reason=error.message)
                return Answer(ASLEEP)
        return Answer() if verdict is Verdict.GO_ON else Answer(REFUSED)

    async def _decision(self, app: AppId) -> Verdict:
        with self._gates.place(app) as gate:
            async with self._database.transaction() as connection:
                found = await routes.question(connection, app)
                if found is None or not found.is_wanted or found.route is RouteState.WITHDRAWN:
                    return Verdict.REFUSE
                if found.route is not RouteState.HELD:
                    return Verdict.GO_ON  # it serves, and the proxy has not heard of it yet
                if not found.is_candidate:  # a deployment lets them go on by itself
                    await work.for_app(connection, Kind.WAKE, app, found.tenant)
            return await gate.decision()
