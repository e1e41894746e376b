"""A wake that can't bring the app back leaves no request waiting for it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from stackyn_server.domain.ids import InstanceId
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.pipeline.idle.held_requests import HeldRequests, HoldDecision
from stackyn_server.pipeline.idle.wake import Wake
from stackyn_server.pipeline.rollout.memory_reservations import MemoryReservations
from stackyn_server.store import routes
from stackyn_server.store.database import Database
from tests.integration.pipeline.parts import Confirming, Refusing, a_context, a_job
from tests.rows import a_serving_app


class ConfirmingLater(Confirming):
    """A proxy that does not confirm the first change."""

    async def confirm(self, number: int, changed: Mapping[str, InstanceId | None]) -> None:
        await super().confirm(number, changed)
        if len(self.routed) == 1:
            raise NotConfirmed("the proxy did not answer")


async def test_retry_of_a_failed_wake_publishes_that_the_route_is_gone(database: Database) -> None:
    """The first attempt has withdrawn the route of an app whose previous release could not be restored."""
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
        await routes.withdraw(connection, app.id)
    ingress = ConfirmingLater()
    parts = {"held_requests": HeldRequests(), "reservations": MemoryReservations()}
    wake = Wake(a_context(database, ingress=ingress, **parts))

    with pytest.raises(NotConfirmed):
        await wake(a_job(app.id))
    await wake(a_job(app.id, attempt=2))

    assert ingress.routed == [None, None]


async def test_app_whose_host_is_refused_is_woken_all_the_same(database: Database) -> None:
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
    held_requests = HeldRequests()
    held_requests.pass_all(app.id)
    parts = {"held_requests": held_requests, "reservations": MemoryReservations()}

    await Wake(a_context(database, ingress=Refusing(), **parts))(a_job(app.id))

    assert held_requests.ask(app.id) is HoldDecision.WAIT, "the hold is forgotten: the rows decide"
