"""A handler of a server that another one has replaced changes no row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import InstanceId
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.context import PipelineContext
from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.pipeline.idle.sleep import Sleep
from stackyn_server.pipeline.idle.wake import Wake
from stackyn_server.pipeline.rollout.in_place import InPlace
from stackyn_server.pipeline.rollout.memory_reservations import MemoryReservations
from stackyn_server.pipeline.teardown import cleanup
from stackyn_server.pipeline.teardown.stop import Stop
from stackyn_server.source import repository
from stackyn_server.store import apps, deployments, instances, routes
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Deployment, Mover
from stackyn_server.store.installation import LeadershipLost
from tests.integration.pipeline.parts import Confirming, a_context, a_job, nothing
from tests.rows import a_deployment, a_release, a_serving_app

OLD_EPOCH = -1

Act = Callable[[PipelineContext, JobRun], Awaitable[object]]


async def a_candidate(connection: Connection, deployment: Deployment) -> InstanceId:
    release = await a_release(connection, deployment)
    candidate = await instances.insert(connection, deployment.app, release.id, deployment.id)
    assert candidate is not None
    return candidate.id


async def an_app_that_falls_asleep(connection: Connection) -> tuple[Act, object]:
    app, _ = await a_serving_app(connection)
    return (lambda context, job: Sleep(context)(job)), app.id


async def an_app_that_was_falling_asleep(connection: Connection) -> tuple[Act, object]:
    app, instance = await a_serving_app(connection)
    await routes.hold(connection, app.id, instance)
    await instances.set_draining(connection, instance)
    return (lambda context, job: Wake(context)(job)), app.id


async def a_stopped_app(connection: Connection) -> tuple[Act, object]:
    app, _ = await a_serving_app(connection)
    await apps.set_desired(connection, app.id, Desired.STOPPED)
    return (lambda context, job: Stop(context)(job)), app.id


async def a_cancelled_deployment(connection: Connection) -> tuple[Act, object]:
    app, _ = await a_serving_app(connection)
    deployment = await a_deployment(connection, app, Phase.BOOTING)
    await a_candidate(connection, deployment)
    await deployments.advance(connection, deployment, Phase.CANCELLED, Mover(0, "api:cancel"))
    return (lambda context, job: cleanup.Cleanup(context, Path("/nowhere"))(job)), deployment.id


async def a_cancelled_rollout_in_place(connection: Connection) -> tuple[Act, object]:
    app, _ = await a_serving_app(connection)
    deployment = await a_deployment(connection, app, Phase.BOOTING)
    await routes.hold(connection, app.id, await a_candidate(connection, deployment))
    closed = await deployments.advance(connection, deployment, Phase.CANCELLED, Mover(0, "api:cancel"))
    return (lambda context, job: InPlace(context).stop_candidate(job, closed)), deployment.id


@pytest.mark.parametrize(
    "situation",
    [
        an_app_that_falls_asleep,
        an_app_that_was_falling_asleep,
        a_stopped_app,
        a_cancelled_deployment,
        a_cancelled_rollout_in_place,
    ],
)
async def test_replaced_server_changes_no_row(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    taken_down: list[InstanceId],
    situation: Callable[[Connection], Awaitable[tuple[Act, object]]],
) -> None:
    monkeypatch.setattr(cleanup.containers, "remove_of_role", nothing)
    monkeypatch.setattr(repository, "remove", nothing)
    async with database.transaction() as connection:
        act, subject = await situation(connection)
    before = await written(database)
    context = a_context(
        database, ingress=Confirming(), held_requests=HeldRequests(), reservations=MemoryReservations()
    )

    with pytest.raises(LeadershipLost):
        await act(context, a_job(subject, epoch=OLD_EPOCH, attempt=2))

    assert await written(database) == before


async def written(database: Database) -> list[object]:
    """Return all rows that a handler may change."""
    async with database.connection() as connection:
        return [
            await connection.fetch(f"SELECT * FROM {table} ORDER BY 1")
            for table in ("route", "instance", "deployment", "job")
        ]
