"""A first release that ends while it is watched is a failed deployment."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from stackyn_server import config
from stackyn_server.config import Settings
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.engine import containers
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.rollout import probe
from stackyn_server.pipeline.rollout.first_release_watch import FirstReleaseWatch
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import deployments
from stackyn_server.store.database import Database
from tests.integration.pipeline.parts import a_context, a_job, nothing
from tests.patience import within
from tests.rows import a_serving_app


async def wait_for(work: Awaitable[object]) -> object:
    return await work


async def test_failure_is_recorded_while_the_log_cannot_be_stored(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def inspect(*_: object) -> SimpleNamespace:
        return SimpleNamespace(running=False)

    async def running_state(*_: object) -> None:
        raise DeploymentFailed(Failure(FailureCode.APP_EXITED, "The app exited with code 1."))

    monkeypatch.setattr(containers, "inspect", inspect)
    monkeypatch.setattr(probe, "running_state", running_state)
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
        live = await deployments.live_of_app(connection, app.id)
    assert live is not None
    job = a_job(
        live.id, moved_by="1:1", now=lambda: datetime.now(UTC), until_cancelled=wait_for, finish=nothing
    )
    settings = Settings(deadlines=config.DeadlinesSettings(recording=0.1))
    storing_nothing = Journal(database, config.BuildsSettings())
    run = DeploymentRun(job, database, storing_nothing, settings, live)

    async with within(5):
        await FirstReleaseWatch(a_context(database)).watch(run)

    assert run.deployment.phase is Phase.FAILED
