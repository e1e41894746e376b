"""Rows of instances: the engine's restart count, and which instances are asked for their health."""

from __future__ import annotations

import pytest

from stackyn_server.store import instances
from stackyn_server.store.database import Database
from tests.rows import a_serving_app


async def test_the_restart_count_of_the_engine_is_taken_once(database: Database) -> None:
    async with database.transaction() as connection:
        _, instance = await a_serving_app(connection)
        assert await instances.count_to(connection, instance, 0, 4)
        assert not await instances.count_to(connection, instance, 0, 4)


@pytest.mark.parametrize(("plan", "count"), [("pro", 1), ("free", 0)])
async def test_health_checks_reach_only_plans_that_have_them(
    database: Database, plan: str, count: int
) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection, plan=plan, health_path="/well")
        targets = await instances.to_check(connection, ["pro", "starter"])
        assert len(targets) == count
        if targets:
            assert (targets[0].app, targets[0].instance, targets[0].health_path) == (
                app.id,
                instance,
                "/well",
            )
            await instances.set_down(connection, [instance])
            assert await instances.to_check(connection, ["pro"]) == [], "what is down is not asked"
