"""Rows of apps with a release, an instance and a route, as the pipeline would leave them."""

from __future__ import annotations

from collections.abc import Sequence

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.store import apps, instances, routes
from stackyn_server.store.database import Database
from tests.rows import a_deployment, a_release, an_app

SETTINGS = {"memory_mb": 256, "disk_mb": 1024, "cpu": 0.5}


async def add_app(
    database: Database, slug: str, *, port: int, seat: int, hosts: Sequence[str] = ()
) -> tuple[AppId, InstanceId]:
    """Add an app that an instance in slot 0 serves."""
    async with database.transaction() as connection:
        app = (await an_app(connection, slug=slug, seat=seat)).id
        for host in hosts:
            await connection.execute(
                "INSERT INTO domain (host, app, state) VALUES ($1, $2, 'active')", host, app
            )
    instance = await add_instance(database, app, slot=0, port=port)
    await serve(database, app, instance)
    return app, instance


async def add_instance(database: Database, app: AppId, *, slot: int, port: int) -> InstanceId:
    """Add a release of the app with its instance; an earlier instance of the slot is gone."""
    async with database.transaction() as connection:
        owner = await apps.get(connection, app)
        assert owner is not None
        deployment = await a_deployment(connection, owner, Phase.QUEUED)
        release = await a_release(connection, deployment, port=port)
        await connection.execute("UPDATE instance SET state = 'gone' WHERE app = $1 AND slot = $2", app, slot)
        instance = (await instances.insert_into(connection, app, release.id, deployment.id, slot)).id
        await instances.set_up(connection, instance)
    return instance


async def add_many(database: Database, count: int, *, port: int) -> None:
    """Add `count` apps in one statement."""
    async with database.transaction() as connection:
        await connection.execute(
            "WITH tenant AS (INSERT INTO account (email, plan) VALUES ('many@example.test', 'pro') RETURNING id), "
            "a AS (INSERT INTO app (tenant, name, slug, repository, branch, settings, seat) "
            "SELECT tenant.id, 'many' || n, 'many' || n, 'https://example.test/r.git', 'main', $2, 10 + n "
            "FROM tenant, generate_series(1, $1) n RETURNING id, tenant), "
            "d AS (INSERT INTO deployment (app, tenant, cause, branch) SELECT id, tenant, 'create', 'main' FROM a "
            "RETURNING id, app), "
            "l AS (INSERT INTO release (app, deployment, image, sealed_environment, memory_mb, disk_mb, cpu, port) "
            "SELECT app, id, 'image', ''::bytea, 256, 1024, 0.5, $3 FROM d RETURNING id, app), "
            "i AS (INSERT INTO instance (app, release, slot, state) SELECT app, id, 0, 'up' FROM l RETURNING id, app) "
            "INSERT INTO route (app, instance, state) SELECT app, id, 'serving' FROM i",
            count,
            SETTINGS,
            port,
        )


async def want(database: Database, app: AppId, instance: InstanceId) -> None:
    async with database.transaction() as connection:
        await routes.want(connection, app, instance)


async def serve(database: Database, app: AppId, instance: InstanceId) -> None:
    async with database.transaction() as connection:
        await routes.want(connection, app, instance)
        await routes.serve(connection, app, instance)


async def hold(database: Database, app: AppId) -> None:
    async with database.transaction() as connection:
        await connection.execute("UPDATE route SET state = 'held' WHERE app = $1", app)


async def withdraw(database: Database, app: AppId) -> None:
    async with database.transaction() as connection:
        await routes.withdraw(connection, app)
