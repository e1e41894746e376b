"""A candidate in place listens on another port than expected: no request passes that was held for the expected one."""

from __future__ import annotations

import asyncio

import pytest

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.jobs import JobState, Kind
from stackyn_server.engine import containers, images
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.idle.held_requests import HeldRequests, HoldDecision
from stackyn_server.pipeline.rollout import probe
from stackyn_server.pipeline.rollout.memory_reservations import MemoryReservations
from stackyn_server.pipeline.rollout.release import ReleaseHandler
from stackyn_server.store import deployments, instances, jobs, routes
from stackyn_server.store.database import Database
from stackyn_server.store.failures import DatabaseUnavailable
from tests.integration.jobs.builders import dispatching, rows, until_state
from tests.integration.pipeline.parts import Confirming, a_context
from tests.rows import a_deployment, a_release, a_serving_app

FOUND_PORT = 3000


class LateDatabase(Confirming):
    """An ingress whose first publication does not reach the database."""

    entry_points = ()

    def __init__(self) -> None:
        super().__init__()
        self.publications = 0

    async def publish(self) -> int:
        self.publications += 1
        if self.publications == 1:
            raise DatabaseUnavailable
        return self.publications


async def test_port_found_by_an_interrupted_attempt_is_published_by_the_next(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def until_ready(*_: object, **__: object) -> int:
        return FOUND_PORT

    async def nothing(*_: object, **__: object) -> None:
        pass

    monkeypatch.setattr(probe, "until_ready", until_ready)
    monkeypatch.setattr(images, "inspect", nothing)
    monkeypatch.setattr(containers, "set_restart", nothing)
    held_requests, ready = HeldRequests(), asyncio.Event()
    ready.set()
    parts = {"held_requests": held_requests, "reservations": MemoryReservations(), "journal": journal}
    handler = ReleaseHandler(a_context(database, ingress=LateDatabase(), ingress_ready=ready, **parts))
    async with database.transaction() as connection:
        app, previous = await a_serving_app(connection)
        deployment = await a_deployment(connection, app, Phase.PROBING)
        release = await a_release(connection, deployment)
        candidate = await instances.insert(connection, app.id, release.id, deployment.id)
        assert candidate is not None
        await routes.hold(connection, app.id, candidate.id)
        await instances.set_gone(connection, previous)
        await routes.forget_previous(connection, app.id)
        await jobs.enqueue_for_deployment(connection, Kind.RELEASE, deployment, priority=0)

    with held_requests.waiting_place(app.id) as hold:
        decision = asyncio.create_task(hold.until_decided(), name="held request")
        async with dispatching(database, {Kind.RELEASE: handler}):
            [job] = await rows(database, "kind = 'release'")
            ended = await until_state(database, job.id, JobState.DONE)
        assert await decision is HoldDecision.REFUSE, "it was held for the port on which nobody listens"

    assert ended.attempt == 2
    async with database.connection() as connection:
        now = await deployments.get(connection, deployment.id)
    assert now is not None and now.phase is Phase.LIVE
