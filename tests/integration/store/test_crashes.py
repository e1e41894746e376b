"""Crashes are counted in rows, for the instance that had them, and stop its app at the limit."""

from __future__ import annotations

import pytest

from stackyn_server import config
from stackyn_server.domain.apps import Desired
from stackyn_server.store import apps, crashes, events, instances
from stackyn_server.store.crashes import CRASHED, REPAIR_FAILED, RESTARTED, Crash
from stackyn_server.store.database import Connection, Database
from tests.rows import a_serving_app

LIMITS = config.AppsSettings(restart_limit=3, restart_window_seconds=600)


async def wish(connection: Connection, app: apps.App) -> Desired:
    found = await apps.get(connection, app.id)
    assert found is not None
    return found.desired


async def test_an_app_is_stopped_at_the_limit_whatever_the_ends_were(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        assert not await crashes.record(connection, app, instance, Crash(CRASHED, "It ended."), LIMITS)
        assert not await crashes.record(connection, app, instance, Crash(RESTARTED, "It hung."), LIMITS)
        assert await wish(connection, app) is Desired.RUNNING
        assert await crashes.record(connection, app, instance, Crash(REPAIR_FAILED, "It broke."), LIMITS)
        stopped = await apps.get(connection, app.id)
        assert stopped is not None and stopped.desired is Desired.STOPPED
        assert stopped.stop_reason == "It broke. That happened 3 times within 10 minutes."
        found = await instances.get(connection, instance)
        assert found is not None and found.restart_count == 3
        assert await connection.fetchval("SELECT kind FROM job WHERE app = $1", app.id) == "stop"
        assert (await events.list_of_app(connection, app.id))[0].name == "app.given_up"


async def test_ends_long_ago_and_those_of_another_instance_do_not_count(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        for _ in range(2):
            await crashes.record(connection, app, instance, Crash(CRASHED, "It ended."), LIMITS)
        await connection.execute("UPDATE event SET created_at = created_at - interval '601 seconds'")
        await crashes.record(connection, app, instance, Crash(CRASHED, "It ended."), LIMITS)
        found = await instances.get(connection, instance)
        assert found is not None
        another = await instances.insert(connection, app.id, found.release, None)
        assert another is not None
        await crashes.record(connection, app, another.id, Crash(CRASHED, "It ended.", count=2), LIMITS)
        assert await wish(connection, app) is Desired.RUNNING


async def test_of_those_that_nobody_saw_one_counts(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        crash = Crash(CRASHED, "It ended.", count=50, while_away=True)
        assert not await crashes.record(connection, app, instance, crash, LIMITS)
        found = await instances.get(connection, instance)
        assert found is not None and found.restart_count == 50
        assert await crashes.record(connection, app, instance, Crash(CRASHED, "It ended.", count=2), LIMITS)


async def test_the_engines_count_is_taken_over_once(database: Database) -> None:
    async with database.transaction() as connection:
        _, instance = await a_serving_app(connection)
        assert await instances.count_to(connection, instance, 0, 4)
        assert not await instances.count_to(connection, instance, 0, 4)


@pytest.mark.parametrize(("plan", "count"), [("pro", 1), ("free", 0)])
async def test_only_plans_with_health_checks_are_asked(database: Database, plan: str, count: int) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection, plan=plan, health_path="/well")
        found = await instances.to_check(connection, ["pro", "starter"])
        assert len(found) == count
        if found:
            assert (found[0].app, found[0].instance, found[0].health_path) == (app.id, instance, "/well")
            await instances.set_down(connection, [instance])
            assert await instances.to_check(connection, ["pro"]) == [], "what is down is not asked"
