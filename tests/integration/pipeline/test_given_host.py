"""A new app has the slug of a deleted one of the same owner: its release waits until the old route is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from stackyn_server.config import Settings
from stackyn_server.config.apps import DeadlinesSettings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.jobs import JobState, Kind
from stackyn_server.engine import images
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.pipeline.rollout.given_host import waits_for_host
from stackyn_server.pipeline.run import DeploymentRun, StepRunner
from stackyn_server.pipeline.teardown.remove import Remove
from stackyn_server.store import apps, deployments, instances, jobs, logs, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Database
from stackyn_server.store.deployments import Deployment
from stackyn_server.store.routes import RouteState
from tests.integration.jobs.builders import dispatching, rows, until, until_state
from tests.integration.pipeline.parts import Confirming, a_context
from tests.rows import a_deployment, a_serving_app, an_app


class Asked(Confirming):
    """A proxy that confirms when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.may_confirm = asyncio.Event()

    async def confirm(self, number: int, changed: Mapping[str, InstanceId | None]) -> None:
        await self.may_confirm.wait()
        await super().confirm(number, changed)


async def no_images(*_: object) -> list[str]:
    return []


async def a_successor(database: Database) -> tuple[App, App, Deployment]:
    """Return a deleted app whose route is still there, and the new app with its slug, which is built."""
    async with database.transaction() as connection:
        old, _ = await a_serving_app(connection)
        await apps.set_desired(connection, old.id, Desired.DELETED)
        await jobs.enqueue_for_app(connection, Kind.REMOVE, old.id, old.tenant)
        await apps.give_slug(connection, old.slug, old.tenant)
        new = await an_app(connection, old.tenant, slug=old.slug)
        deployment = await a_deployment(connection, new, Phase.BUILT)
        await jobs.enqueue_for_deployment(connection, Kind.RELEASE, deployment)
    return old, new, deployment


class Release:
    """The first step of a release job. `went_on` is set when the release does not wait any more."""

    def __init__(self, database: Database, journal: Journal, settings: Settings, app: App) -> None:
        self._runner = StepRunner(database, journal, settings, Phase.BUILT)
        self._app = app
        self.went_on = asyncio.Event()

    async def __call__(self, job: JobRun) -> None:
        await self._runner.run(job, self._steps)

    async def _steps(self, run: DeploymentRun) -> None:
        if not await waits_for_host(run, self._app):
            self.went_on.set()
            raise JobCancelled


async def test_release_waits_until_the_old_route_is_confirmed_gone(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "list_of_app", no_images)
    ingress = Asked()
    old, new, deployment = await a_successor(database)
    async with database.connection() as connection:
        route = await routes.get(connection, old.id)
    assert route is not None and route.state is RouteState.WITHDRAWN, (
        "it is not published with the next routes"
    )
    remove = Remove(a_context(database, ingress=ingress, held_requests=HeldRequests()))
    release = Release(database, journal, Settings(), new)

    async def retire(run: JobRun) -> None:
        async with database.transaction() as connection:
            await instances.set_gone(connection, InstanceId(int(run.job.subject)))

    async def waits() -> bool:
        (job,) = await rows(database, "kind = 'release'")
        return (job.state, job.waits) == (JobState.WAITING, 1)

    handlers = {Kind.REMOVE: remove, Kind.RELEASE: release, Kind.RETIRE: retire}
    async with dispatching(database, handlers):
        await until(waits, "the release waits")
        assert not release.went_on.is_set()
        async with database.connection() as connection:
            waiting = await deployments.get(connection, deployment.id)
        assert waiting is not None and waiting.waiting_reason is not None
        assert "deleted app" in waiting.waiting_reason
        ingress.may_confirm.set()
        await until(release.went_on.is_set, "the release goes on")
        (removal,) = await rows(database, "kind = 'remove'")
        await until_state(database, removal.id, JobState.DONE)

    async with database.connection() as connection:
        log = await logs.read_text(connection, deployment.id, "build", 10_000)
    assert log.count("The deleted app that had this address before") == 1


async def test_release_fails_when_the_host_is_not_free_in_time(database: Database, journal: Journal) -> None:
    _, new, deployment = await a_successor(database)
    settings = Settings(deadlines=DeadlinesSettings(preparing=0.2))

    async def ended() -> bool:
        async with database.connection() as connection:
            row = await deployments.get(connection, deployment.id)
        return row is not None and row.phase is Phase.FAILED

    async with dispatching(database, {Kind.RELEASE: Release(database, journal, settings, new)}):
        await until(ended, "the deployment has failed")
