"""The removal of an app waits for what still works on the app, and asks nobody meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.jobs import JobState, Kind
from stackyn_server.engine import images
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.pipeline.teardown.remove import Remove
from stackyn_server.pipeline.teardown.stop import Stop
from stackyn_server.store import apps, deployments, instances, jobs
from stackyn_server.store.database import Database
from stackyn_server.store.jobs import Job
from tests.integration.jobs.builders import dispatching, nothing, put, row, rows, until, until_state
from tests.integration.pipeline.parts import Confirming, a_context, a_job
from tests.rows import a_serving_app


class Counting(Confirming):
    def __init__(self) -> None:
        super().__init__()
        self.publications = 0

    async def publish(self) -> int:
        self.publications += 1
        return self.publications


async def no_images(*_: object) -> list[str]:
    return []


async def test_removal_publishes_once_and_runs_when_the_other_work_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is away: the container's retire job goes on for long."""
    monkeypatch.setattr(images, "list_of_app", no_images)
    engine_is_asked, engine_is_back, ingress = asyncio.Event(), asyncio.Event(), Counting()
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        await apps.set_desired(connection, app.id, Desired.DELETED)
        await jobs.enqueue_for_app(connection, Kind.REMOVE, app.id, app.tenant)

    async def retire(run: JobRun) -> None:
        engine_is_asked.set()
        await engine_is_back.wait()
        async with database.transaction() as connection:
            await instances.set_gone(connection, instance)
            await run.finish(connection)

    remove = Remove(a_context(database, ingress=ingress, held_requests=HeldRequests()))
    async with dispatching(database, {Kind.REMOVE: remove, Kind.RETIRE: retire, Kind.STOP: nothing}):
        [removal] = await rows(database, "kind = 'remove'")

        async def waits() -> bool:
            return (await row(database, removal.id)).after_app_work

        await until(waits, "the removal waits")
        await until(engine_is_asked.is_set, "the container is being taken down")
        for number in range(3):  # the dispatcher looks at the same pool
            await until_state(database, await put(database, Kind.STOP, number), JobState.DONE)
        assert (await row(database, removal.id)).attempt == 1
        engine_is_back.set()
        done: Job = await until_state(database, removal.id, JobState.DONE)

    assert (done.attempt, done.waits, ingress.publications) == (2, 1, 1)
    async with database.connection() as connection:
        gone = await apps.get(connection, app.id)
    assert gone is not None and gone.torn_down_at is not None


async def test_stop_ends_an_instance_whose_sleep_was_cancelled(database: Database) -> None:
    """The sleep had told it to end when the engine went away, and waited to try again."""
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        await instances.set_draining(connection, instance)
        await apps.set_desired(connection, app.id, Desired.STOPPED)
        await jobs.enqueue_for_app(connection, Kind.STOP, app.id, app.tenant)

    stop = Stop(a_context(database, ingress=Confirming(), held_requests=HeldRequests()))
    async with dispatching(database, {Kind.STOP: stop}):
        [job] = await rows(database, "kind = 'stop'")
        await until_state(database, job.id, JobState.DONE)

    assert [retirement.subject for retirement in await rows(database, "kind = 'retire'")] == [str(instance)]


async def test_stopped_deployment_keeps_the_reason_of_the_stop(database: Database) -> None:
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
        live = await deployments.live_of_app(connection, app.id)
        assert live is not None
        await apps.set_desired(
            connection, app.id, Desired.STOPPED, stop_reason="An administrator stopped it."
        )

    stop = Stop(a_context(database, ingress=Confirming(), held_requests=HeldRequests()))
    await stop(a_job(app.id, moved_by="1:1", now=lambda: datetime.now(UTC), finish=no_images))

    async with database.connection() as connection:
        stopped = await deployments.get(connection, live.id)
    assert stopped is not None
    assert (stopped.phase, stopped.waiting_reason) == (Phase.STOPPED, "An administrator stopped it.")
