"""A rollout in place that ends early: the previous instance, which still runs, serves again."""

from __future__ import annotations

from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.jobs import Kind
from stackyn_server.engine import containers
from stackyn_server.jobs.run import JobCancelled
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline import context
from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.pipeline.idle.wake import Wake
from stackyn_server.pipeline.rollout import in_place
from stackyn_server.pipeline.rollout.candidate import Candidate
from stackyn_server.pipeline.rollout.in_place import InPlace
from stackyn_server.pipeline.rollout.memory_reservations import MemoryReservations
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.pipeline.teardown.take_down import LastOutput
from stackyn_server.store import deployments, instances, jobs, routes, situations
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Deployment, Mover
from stackyn_server.store.instances import Instance, InstanceState
from stackyn_server.store.releases import Release
from stackyn_server.store.routes import RouteState
from tests.integration.pipeline.parts import Confirming, a_context, a_job, nothing
from tests.integration.pipeline.test_endings import ended
from tests.rows import a_deployment, a_release, a_serving_app

TO_BOOTING = (Phase.FETCHING, Phase.PLANNING, Phase.BUILDING, Phase.BUILT, Phase.BOOTING)


async def start_nothing(start: Coroutine[Any, Any, None]) -> None:
    start.close()


async def a_held_candidate(connection: Connection, deployment: Deployment) -> tuple[Release, Instance]:
    """Record a rollout in place as `want` does: the route is held for the deployment's candidate."""
    release = await a_release(connection, deployment)
    candidate = await instances.insert(connection, deployment.app, release.id, deployment.id)
    assert candidate is not None
    await routes.hold(connection, deployment.app, candidate.id)
    return release, candidate


async def a_closed_rollout(connection: Connection) -> tuple[App, InstanceId, Deployment, Instance]:
    """Return an app whose deployment was cancelled while its job waited: the cleanup has not begun."""
    app, previous = await a_serving_app(connection)
    deployment = await a_deployment(connection, app, Phase.BOOTING)
    _, candidate = await a_held_candidate(connection, deployment)
    closed = await deployments.advance(connection, deployment, Phase.CANCELLED, Mover(0, "api:cancel"))
    return app, previous, closed, candidate


async def is_serving(database: Database, app: App, instance: InstanceId) -> bool:
    async with database.connection() as connection:
        route, row = await routes.get(connection, app.id), await instances.get(connection, instance)
    assert route is not None and row is not None
    return (route.state, route.instance, row.state) == (RouteState.SERVING, instance, InstanceState.UP)


async def test_cancel_during_the_drain_leaves_the_previous_instance_serving(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch, taken_down: list[InstanceId]
) -> None:
    ingress = Confirming()
    handler = InPlace(a_context(database, ingress=ingress, held_requests=HeldRequests()))
    async with database.transaction() as connection:
        app, previous = await a_serving_app(connection)

    async def find(_engine: object, _instance: InstanceId) -> SimpleNamespace:
        return SimpleNamespace(running=True, pid=1)

    monkeypatch.setattr(containers, "find", find)

    async def steps(run: DeploymentRun) -> None:
        async def cancel_while_draining(*_: object, **__: object) -> bool:
            async with database.transaction() as connection:
                await jobs.request_cancel(connection, kind=Kind.BUILD, subject=str(run.deployment.id))
            await run.job.cancel.wait()
            return False

        monkeypatch.setattr(in_place, "until_quiet", cancel_while_draining)
        for phase in TO_BOOTING:
            await run.move(phase)
        async with database.transaction() as connection:
            release, candidate = await a_held_candidate(connection, run.deployment)
            situation = await situations.read(connection, run.deployment.id)
        assert situation is not None
        await handler.before_boot(run, situation, Candidate(release, candidate))
        await run.job.until_cancelled(nothing())  # the start of the candidate

    deployment = await ended(database, journal, steps, app=app, stop_candidate=handler.stop_candidate)
    assert deployment.phase is Phase.CANCELLED
    assert await is_serving(database, app, previous)
    assert previous not in taken_down
    assert ingress.routed[-1] == previous


async def test_closed_rollout_leaves_the_previous_instance_serving(
    database: Database, taken_down: list[InstanceId]
) -> None:
    async with database.transaction() as connection:
        app, previous, deployment, _ = await a_closed_rollout(connection)
    ingress = Confirming()
    handler = InPlace(a_context(database, ingress=ingress, held_requests=HeldRequests()))

    assert await handler.stop_candidate(a_job(), deployment) is None

    assert await is_serving(database, app, previous)
    assert taken_down == []
    assert ingress.routed == [previous]


async def test_wake_leaves_a_closed_rollout_to_its_cleanup(
    database: Database, taken_down: list[InstanceId]
) -> None:
    """A visitor comes before the cleanup does: the cleanup still has to find the previous instance."""
    async with database.transaction() as connection:
        app, previous, _, candidate = await a_closed_rollout(connection)
    parts = {"held_requests": HeldRequests(), "reservations": MemoryReservations()}
    wake = Wake(a_context(database, ingress=Confirming(), **parts))

    await wake(a_job(app.id, until_cancelled=start_nothing))

    async with database.connection() as connection:
        route = await routes.get(connection, app.id)
    assert route == routes.Route(app.id, candidate.id, previous, RouteState.HELD)
    assert taken_down == []


async def test_the_end_of_the_replaced_idle_instance_is_kept(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The requests of an idle app are held for its slot, where an ended sleep or wake may have left a container."""

    async def take_down(*_: object) -> LastOutput:
        return LastOutput("its last line", {"exit_code": 0})

    monkeypatch.setattr(context, "take_down", take_down)
    async with database.transaction() as connection:
        app, idle = await a_serving_app(connection)
        await routes.hold(connection, app.id, idle)
        await instances.set_draining(connection, idle)
    handler = InPlace(a_context(database, ingress=Confirming(), held_requests=HeldRequests()))

    async def steps(run: DeploymentRun) -> None:
        async with database.connection() as connection:
            situation = await situations.read(connection, run.deployment.id)
        assert situation is not None
        await handler.before_want(run, situation)
        raise JobCancelled

    await ended(database, journal, steps, app=app)
    async with database.connection() as connection:
        instance = await instances.get(connection, idle)
    assert instance is not None and instance.state is InstanceState.DRAINING, "its slot is still needed"
    assert instance.last_state == {"exit_code": 0}
