"""Health checks ask the real addresses of apps; here those are addresses of this machine's loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

import pytest
from aiohttp import web

from stackyn_server import config
from stackyn_server.domain.seats import address_of
from stackyn_server.reconcile.health import HealthChecks
from stackyn_server.store import apps, events, instances
from stackyn_server.store.apps import App
from stackyn_server.store.database import Database
from stackyn_server.store.instances import Instance
from tests.rows import a_serving_app

LOOPBACK = IPv4Network("127.16.0.0/16")
PORT = 8080  # of the builder's releases


@pytest.fixture
def settings(settings: config.Settings) -> config.Settings:
    health = config.HealthSettings(failures=2, successes=2, timeout_seconds=2, path="/well")
    network = config.NetworkSettings(subnet=LOOPBACK)
    return settings.model_copy(update={"health": health, "network": network})


@asynccontextmanager
async def answering(app: App, status: int) -> AsyncIterator[list[str]]:
    """Answer at the app's address, and remember what was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    assert app.seat is not None
    await web.TCPSite(runner, str(address_of(LOOPBACK, app.seat, 0)), PORT).start()
    try:
        yield asked
    finally:
        await runner.cleanup()


async def serving(database: Database, **values: str) -> tuple[App, Instance]:
    async with database.transaction() as connection:
        app, number = await a_serving_app(connection, **values)
        instance = await instances.get(connection, number)
    assert instance is not None
    return app, instance


async def happened(database: Database, app: App) -> list[str]:
    async with database.connection() as connection:
        found = [event.name for event in await events.list_of_app(connection, app.id)]
    return [name for name in reversed(found) if name.startswith("app.")]


async def finish_repair(database: Database) -> dict[str, object]:
    """End the repair job as its handler would, and return its arguments."""
    async with database.transaction() as connection:
        row = await connection.fetchrow("SELECT * FROM job WHERE kind = 'repair' AND state = 'waiting'")
        assert row is not None, "no repair was enqueued"
        await connection.execute("UPDATE job SET state = 'done', ended_at = now() WHERE id = $1", row["id"])
        return dict(row["arguments"])


async def test_an_app_that_answers_is_left_alone_at_its_own_path_or_the_configured_one(
    database: Database, settings: config.Settings
) -> None:
    first, _ = await serving(database)
    second, _ = await serving(database, health_path="/own")
    checks = HealthChecks(settings, database)
    async with answering(first, 200) as of_first, answering(second, 302) as of_second:
        for _ in range(3):
            await checks.ask()
    assert (of_first, of_second) == (["/well"] * 3, ["/own"] * 3)
    assert await happened(database, first) == await happened(database, second) == []


async def test_one_that_fails_in_a_row_is_restarted_once_and_recovers(
    database: Database, settings: config.Settings
) -> None:
    app, instance = await serving(database)
    checks = HealthChecks(settings, database)
    async with answering(app, 500):
        await checks.ask()
        assert await happened(database, app) == []
        await checks.ask()
        assert await happened(database, app) == ["app.unhealthy"]
        await checks.ask()
        await checks.ask()
    assert await happened(database, app) == ["app.unhealthy"], "not asked while its repair is under way"
    assert (await finish_repair(database))["restart"] == instance.id
    async with database.connection() as connection:
        (state,) = await apps.view(connection, app=app.id)
    assert state.is_unhealthy and state.restart_count == 0, "what is started again is counted, by its job"
    async with answering(app, 200):
        await checks.ask()
        assert await happened(database, app) == ["app.unhealthy"]
        await checks.ask()
    assert await happened(database, app) == ["app.unhealthy", "app.recovered"]
    async with database.connection() as connection:
        (state,) = await apps.view(connection, app=app.id)
    assert not state.is_unhealthy


async def test_one_that_never_answers_is_started_again_each_time(
    database: Database, settings: config.Settings
) -> None:
    app, _ = await serving(database)
    checks = HealthChecks(settings, database)
    for number in (1, 2):
        await checks.ask()
        assert await happened(database, app) == ["app.unhealthy"] * (number - 1)
        await checks.ask()
        assert await happened(database, app) == ["app.unhealthy"] * number
        reason = (await finish_repair(database))["reason"]
        assert reason == "The app did not answer 2 health checks in a row."


async def test_plans_without_health_checks_are_not_asked(
    database: Database, settings: config.Settings
) -> None:
    app, _ = await serving(database, plan="free")
    checks = HealthChecks(settings, database)
    async with answering(app, 500) as asked:
        for _ in range(3):
            await checks.ask()
    assert asked == [] and await happened(database, app) == []
