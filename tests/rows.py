"""Builders: rows as a test needs them, through the real store modules, all else filled in."""

from __future__ import annotations

import itertools

from stackyn_server.domain.apps import AppSettings
from stackyn_server.domain.deployments import Cause, Phase
from stackyn_server.domain.ids import InstanceId, UserId
from stackyn_server.store import accounts, apps, deployments, instances, releases, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Deployment, Mover, StepResults
from stackyn_server.store.releases import NewRelease, Release

_numbers = itertools.count(1)

_WHOLE_WAY = [
    Phase.FETCHING,
    Phase.PLANNING,
    Phase.BUILDING,
    Phase.BUILT,
    Phase.RELEASING,
    Phase.BOOTING,
    Phase.PROBING,
    Phase.SWITCHING,
    Phase.LIVE,
]


async def an_account(connection: Connection, plan: str = "pro", **values: object) -> UserId:
    email = f"tenant{next(_numbers)}@example.test"
    new = accounts.NewAccount(email=email, plan=plan, **values)  # type: ignore[arg-type]
    return (await accounts.insert(connection, new)).id


async def an_app(connection: Connection, tenant: UserId | None = None, **values: object) -> App:
    number = next(_numbers)
    chosen: dict[str, object] = {
        "tenant": tenant or await an_account(connection),
        "name": f"App {number}",
        "slug": f"app-{number}",
        "repository": "https://git.example.test/app.git",
        "branch": "main",
        "settings": AppSettings(memory_mb=256, disk_mb=1024, cpu=0.5),
        "seat": await apps.free_seat(connection),
    }
    return await apps.insert(connection, **{**chosen, **values})  # type: ignore[arg-type]


async def a_deployment(
    connection: Connection, app: App, phase: Phase = Phase.QUEUED, mover: Mover | None = None
) -> Deployment:
    """Return a deployment that walked the whole way to `phase`."""
    deployment = await deployments.insert(
        connection, app=app.id, tenant=app.tenant, cause=Cause.CREATE, branch=app.branch
    )
    for step in _WHOLE_WAY[: _WHOLE_WAY.index(phase) + 1 if phase in _WHOLE_WAY else 0]:
        deployment = await deployments.advance(
            connection, deployment, step, mover or Mover(0, "test:1"), StepResults(image="sha256:1")
        )
    return deployment


async def a_release(
    connection: Connection,
    deployment: Deployment,
    *,
    image: str = "sha256:1",
    port: int = 8080,
    health_path: str | None = None,
) -> Release:
    new = NewRelease(
        app=deployment.app,
        deployment=deployment.id,
        image=image,
        sealed_environment=b"sealed",
        memory_mb=256,
        disk_mb=1024,
        cpu=0.5,
        command=None,
        port=port,
        health_path=health_path,
        commit="c0ffee",
    )
    return await releases.insert(connection, new)


async def take_epoch(database: Database, epoch: int) -> None:
    """Another server takes over."""
    async with database.transaction() as connection:
        await connection.execute("UPDATE installation SET epoch = $1", epoch)


async def a_serving_app(
    connection: Connection, app: App | None = None, *, plan: str = "pro", health_path: str | None = None
) -> tuple[App, InstanceId]:
    """Return an app with a live deployment, release 1 of it, and the instance that its route serves."""
    app = app or await an_app(connection, await an_account(connection, plan))
    deployment = await a_deployment(connection, app, Phase.LIVE)
    release = await a_release(connection, deployment, health_path=health_path)
    await releases.number(connection, release.id, app.id)
    await apps.set_current_release(connection, app.id, release.id)
    instance = await instances.insert(connection, app.id, release.id, deployment.id)
    assert instance is not None
    await instances.set_container(connection, instance.id, f"container-{instance.id}")
    await instances.set_up(connection, instance.id)
    await routes.want(connection, app.id, instance.id)
    await routes.serve(connection, app.id, instance.id)
    return app, instance.id
