"""What a request leaves behind of a deployment that was waiting."""

from __future__ import annotations

import pytest

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.jobs import Kind
from stackyn_server.security.sealing import Sealer
from stackyn_server.services.apps import Apps
from stackyn_server.services.deploy_requests import end_waiting
from stackyn_server.services.deployments import Deployments
from stackyn_server.store import apps, deployments, instances, jobs, routes
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Deployment, Mover
from stackyn_server.store.instances import Instance
from stackyn_server.store.routes import RouteState
from tests.integration.services.fixed_leadership import FixedLeadership
from tests.rows import a_deployment, a_release, a_serving_app, an_app

MOVER = Mover(0, "test:1")


async def _candidate(connection: Connection, deployment: Deployment) -> Instance:
    release = await a_release(connection, deployment)
    candidate = await instances.insert(connection, deployment.app, release.id, deployment.id)
    assert candidate is not None
    return candidate


async def test_a_deployment_waiting_in_its_switch_is_turned_back(database: Database) -> None:
    """As after a kill between "route wanted" and "route confirmed", before the next server has claimed its job."""
    async with database.transaction() as connection:
        app, old = await a_serving_app(connection)
        waiting = await a_deployment(connection, app, Phase.SWITCHING)
        new = await _candidate(connection, waiting)
        await routes.want(connection, app.id, new.id)

        await end_waiting(connection, [str(waiting.id)], Phase.CANCELLED, MOVER)
        route = await routes.get(connection, app.id)

    assert route is not None
    assert (route.instance, route.state) == (old, RouteState.SERVING)


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.BUILDING, Phase.BUILT, Phase.SWITCHING])
@pytest.mark.parametrize(
    ("verb", "ends"),
    [
        ("cancel", Phase.CANCELLED),
        ("stop", Phase.CANCELLED),
        ("delete", Phase.CANCELLED),
        ("redeploy", Phase.SUPERSEDED),
    ],
)
async def test_open_deployment_without_a_job_is_ended(
    database: Database, verb: str, ends: Phase, phase: Phase
) -> None:
    """Its job was lost: no task would ever end it."""
    async with database.transaction() as connection:
        app = await an_app(connection)
        lost = await a_deployment(connection, app, phase)
        kept = await a_deployment(connection, await an_app(connection, app.tenant))
        await jobs.enqueue_for_deployment(connection, Kind.BUILD, kept, priority=0)

    settings = Settings()
    service = Deployments(database, settings, FixedLeadership())
    of_apps = Apps(database, settings, Sealer({1: b"k" * 32}), FixedLeadership())
    if verb == "cancel":
        view = await service.cancel(app.tenant, lost.id)
        assert view.phase is ends
    elif verb == "redeploy":
        await service.redeploy(app.tenant, "pro", app.id)
    else:
        await getattr(of_apps, verb)(app.tenant, app.id)

    async with database.connection() as connection:
        ended, untouched = [await deployments.get(connection, deployment.id) for deployment in (lost, kept)]
        cleanups = await connection.fetch("SELECT subject FROM job WHERE kind = 'cleanup'")
    assert ended is not None and ended.phase is ends
    assert [row["subject"] for row in cleanups] == [str(lost.id)]
    assert untouched is not None and untouched.phase is Phase.QUEUED


async def test_stop_ends_what_is_open_also_when_stopped(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        await apps.set_desired(connection, app.id, Desired.STOPPED)
        lost = await a_deployment(connection, app, Phase.BUILDING)
    await Apps(database, Settings(), Sealer({1: b"k" * 32}), FixedLeadership()).stop(app.tenant, app.id)
    async with database.connection() as connection:
        ended = await deployments.get(connection, lost.id)
    assert ended is not None and ended.phase is Phase.CANCELLED
