"""Decides whether a held request may pass. The proxy asks once for each round of each held request."""

from __future__ import annotations

import asyncio
from enum import StrEnum

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.jobs import Kind
from stackyn_server.errors import StackynError
from stackyn_server.ingress.render_context import HOLD_ROUND_SECONDS
from stackyn_server.pipeline.idle.held_requests import HeldRequests, HoldDecision
from stackyn_server.store import jobs, routes
from stackyn_server.store.database import Database
from stackyn_server.store.routes import RouteState

log = structlog.get_logger()


class Refusal(StrEnum):
    """Why a held request is refused; the value is the sentence for its visitor."""

    STARTING = "This app is still starting. Please try again in a moment."
    FAILED = "This app could not be started. Please try again later; its owner can see why."
    CROWDED = "Too many requests are waiting for this app to start. Please try again in a moment."


class RequestHold:
    """Lets requests wait for an app without a serving instance, and wakes an idle app."""

    def __init__(
        self, database: Database, held_requests: HeldRequests, settings: config.HoldSettings
    ) -> None:
        self._database = database
        self._held_requests = held_requests
        self._settings = settings

    async def refusal(self, app: AppId, *, is_last_round: bool) -> Refusal | None:
        """Return why the request is refused, or None when it may pass to the app or to its next round.

        Takes at most one round, which is less than the proxy's own limit of 30 s.
        """
        decision = self._held_requests.ask(app)
        if decision is HoldDecision.WAIT:
            if self._held_requests.waiting(app) >= self._settings.most_per_app:
                return Refusal.CROWDED
            try:
                async with asyncio.timeout(HOLD_ROUND_SECONDS):
                    decision = await self._wait_for_decision(app)
            except TimeoutError:
                return Refusal.STARTING if is_last_round else None
            except StackynError as error:
                log.warning("hold.failed", app=app, reason=error.message)
                return Refusal.STARTING
        return None if decision is HoldDecision.PASS else Refusal.FAILED

    async def _wait_for_decision(self, app: AppId) -> HoldDecision:
        with self._held_requests.waiting_place(app) as hold:
            async with self._database.transaction() as connection:
                situation = await routes.hold_situation(connection, app)
                if situation is None or not situation.is_wanted or situation.route is RouteState.WITHDRAWN:
                    return HoldDecision.REFUSE
                if situation.route is not RouteState.HELD:
                    return HoldDecision.PASS  # the app serves, but the proxy has not read its new route yet
                if not situation.is_candidate:  # a deployment releases the held requests itself
                    await jobs.enqueue_for_app(connection, Kind.WAKE, app, situation.tenant)
            return await hold.until_decided()
