"""Crashes are counted in rows, for the instance that had them, and stop its app at the limit."""

from __future__ import annotations

from stackyn_server import config
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.crashes import CRASHED, REPAIR_FAILED, RESTARTED, Crash
from stackyn_server.domain.deployments import Phase
from stackyn_server.pipeline.crash_limit import give_up, record_crash
from stackyn_server.store import apps, deployments, events, instances
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Mover
from tests.rows import a_deployment, a_serving_app

LIMITS = config.AppsSettings(restart_limit=3, restart_window_seconds=600)


async def desired(connection: Connection, app: apps.App) -> Desired:
    app_row = await apps.get(connection, app.id)
    assert app_row is not None
    return app_row.desired


async def test_an_app_is_stopped_at_the_limit_of_any_crashes(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        assert not await record_crash(connection, app, instance, Crash(CRASHED, "It ended."), LIMITS)
        assert not await record_crash(connection, app, instance, Crash(RESTARTED, "It hung."), LIMITS)
        assert await desired(connection, app) is Desired.RUNNING
        assert await record_crash(connection, app, instance, Crash(REPAIR_FAILED, "It broke."), LIMITS)
        stopped = await apps.get(connection, app.id)
        assert stopped is not None and stopped.desired is Desired.STOPPED
        assert stopped.stop_reason == "It broke. That happened 3 times within 10 minutes."
        instance_row = await instances.get(connection, instance)
        assert instance_row is not None and instance_row.restart_count == 3
        assert await connection.fetchval("SELECT kind FROM job WHERE app = $1", app.id) == "stop"
        assert (await events.list_of_app(connection, app.id))[0].name == "app.given_up"


async def test_an_app_with_an_open_deployment_is_stopped_only_for_an_urgent_reason(
    database: Database,
) -> None:
    """The stop would cancel the deployment, which may be what its owner does about the crashes."""
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        deployment = await a_deployment(connection, app, Phase.BUILDING)
        crash = Crash(CRASHED, "It ended.", count=3)
        assert not await record_crash(connection, app, instance, crash, LIMITS)
        assert await desired(connection, app) is Desired.RUNNING
        assert await connection.fetchval("SELECT count(*) FROM job WHERE kind = 'stop'") == 0
        assert "app.given_up" not in [event.name for event in await events.list_of_app(connection, app.id)]

        await deployments.advance(connection, deployment, Phase.CANCELLED, Mover(0, "test:1"))
        assert await record_crash(connection, app, instance, Crash(CRASHED, "It ended."), LIMITS)
        assert await desired(connection, app) is Desired.STOPPED

        other, _ = await a_serving_app(connection)
        await a_deployment(connection, other, Phase.BUILDING)
        assert await give_up(connection, other.id, "Its disk is full.", is_urgent=True)
        assert await desired(connection, other) is Desired.STOPPED


async def test_old_crashes_and_other_instances_do_not_count(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        for _ in range(2):
            await record_crash(connection, app, instance, Crash(CRASHED, "It ended."), LIMITS)
        await connection.execute("UPDATE event SET created_at = created_at - interval '601 seconds'")
        await record_crash(connection, app, instance, Crash(CRASHED, "It ended."), LIMITS)
        instance_row = await instances.get(connection, instance)
        assert instance_row is not None
        another = await instances.insert(connection, app.id, instance_row.release, None)
        assert another is not None
        await record_crash(connection, app, another.id, Crash(CRASHED, "It ended.", count=2), LIMITS)
        assert await desired(connection, app) is Desired.RUNNING


async def test_one_unseen_crash_counts_of_many(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        crash = Crash(CRASHED, "It ended.", count=50, while_away=True)
        assert not await record_crash(connection, app, instance, crash, LIMITS)
        instance_row = await instances.get(connection, instance)
        assert instance_row is not None and instance_row.restart_count == 50
        assert await record_crash(connection, app, instance, Crash(CRASHED, "It ended.", count=2), LIMITS)
