"""What a request for another deployment does to an old instance that still drains."""

from __future__ import annotations

import time

import pytest

from stackyn_server.config import Settings
from stackyn_server.domain.deployments import Cause, Phase
from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.domain.jobs import Kind, RetireArguments
from stackyn_server.services.deployments import Deployments
from stackyn_server.store import deployments, jobs
from stackyn_server.store.apps import App
from stackyn_server.store.database import Database
from stackyn_server.store.deployments import Mover, StepResults
from tests.integration.services.fixed_leadership import FixedLeadership
from tests.rows import a_serving_app

FAR_SECONDS = 3600.0


async def _live_app_that_drains(database: Database) -> App:
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
        deadline = RetireArguments(time.time() + FAR_SECONDS)
        await jobs.enqueue(connection, Kind.RETIRE, 1, app=app.id, tenant=app.tenant, arguments=deadline)
    return app


async def _seconds_left(database: Database) -> float:
    async with database.connection() as connection:
        arguments = await connection.fetchval("SELECT arguments FROM job WHERE kind = 'retire'")
    return float(arguments["deadline"]) - time.time()


@pytest.mark.parametrize(("verb", "shortens"), [("redeploy", False), ("restart", True), ("rollback", True)])
async def test_only_what_needs_the_slot_at_once_shortens_the_drain(
    database: Database, verb: str, shortens: bool
) -> None:
    """A redeploy builds first, and its old instance may have all of its drain_seconds."""
    app = await _live_app_that_drains(database)
    settings = Settings()
    service = Deployments(database, settings, FixedLeadership())

    if verb == "redeploy":
        await service.redeploy(app.tenant, "pro", app.id)
    elif verb == "restart":
        await service.restart(app.tenant, app.id)
    else:
        await service.rollback(app.tenant, app.id, 1)

    left = await _seconds_left(database)
    assert (left <= settings.apps.stop_grace_seconds) == shortens


async def test_start_runs_an_app_again_whose_release_ended_while_it_was_watched(database: Database) -> None:
    """Its owner wants it to run, and nothing of it does."""
    app = await _live_app_that_drains(database)
    service = Deployments(database, Settings(), FixedLeadership())
    assert await service.start(app.tenant, app.id) is None, "it serves"
    async with database.transaction() as connection:
        live = await deployments.live_of_app(connection, app.id)
        assert live is not None
        failure = Failure(FailureCode.APP_EXITED, "The app exited with code 1.")
        await deployments.advance(
            connection, live, Phase.FAILED, Mover(0, "test:1"), StepResults(failure=failure)
        )

    started = await service.start(app.tenant, app.id)
    assert started is not None and started.deployment.cause is Cause.START
    assert await service.start(app.tenant, app.id) is None, "its deployment is under way"
