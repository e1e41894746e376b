"""What a change of wishes leaves behind of a deployment that was waiting."""

from __future__ import annotations

import pytest

from stackyn_server.domain.deployments import Phase
from stackyn_server.services.wishes import end_waiting
from stackyn_server.store import deployments, instances, releases, routes
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Deployment, Mover
from stackyn_server.store.instances import Instance
from stackyn_server.store.routes import RouteState
from tests.rows import a_deployment, a_release, an_app

MOVER = Mover(0, "test:1")


async def _candidate(connection: Connection, deployment: Deployment) -> Instance:
    release = await a_release(connection, deployment)
    made = await instances.insert(connection, deployment.app, release.id, deployment.id)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("phase", "confirm"), [(Phase.QUEUED, False), (Phase.BUILT, True), (Phase.SWITCHING, True)]
)
async def test_a_container_that_a_route_may_know_is_cleaned_up_only_after_a_confirmation(
    database: Database, phase: Phase, confirm: bool
) -> None:
    async with database.transaction() as connection:
        deployment = await a_deployment(connection, await an_app(connection), phase)
        await end_waiting(connection, [str(deployment.id)], Phase.CANCELLED, MOVER)

    async with database.connection() as connection:
        ended = await deployments.get(connection, deployment.id)
        cleanup = await connection.fetchval("SELECT arguments FROM job WHERE kind = 'cleanup'")
    assert ended is not None and ended.phase is Phase.CANCELLED
    assert cleanup == {"confirm": confirm}


async def test_one_that_waits_in_the_middle_of_its_switch_is_turned_back(database: Database) -> None:
    """As after a kill between "route wanted" and "route confirmed", before the next server has claimed its job."""
    async with database.transaction() as connection:
        app = await an_app(connection)
        before = await a_deployment(connection, app, Phase.LIVE)
        old = await _candidate(connection, before)
        await routes.want(connection, app.id, old.id)
        await routes.serve(connection, app.id, old.id)
        await instances.set_up(connection, old.id)
        await releases.number(connection, old.release, app.id)
        waiting = await a_deployment(connection, app, Phase.SWITCHING)
        new = await _candidate(connection, waiting)
        await routes.want(connection, app.id, new.id)

        await end_waiting(connection, [str(waiting.id)], Phase.CANCELLED, MOVER)
        route = await routes.get(connection, app.id)

    assert route is not None
    assert (route.instance, route.state) == (old.id, RouteState.SERVING)
