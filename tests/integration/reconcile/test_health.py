"""Health checks connect to the real addresses of apps; here those are addresses of this machine's loopback."""

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
    """Answer at the app's address, and yield the paths that were requested."""
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=status)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    assert app.seat is not None
    await web.TCPSite(runner, str(address_of(LOOPBACK, app.seat, 0)), PORT).start()
    try:
        yield paths
    finally:
        await runner.cleanup()


async def serving(database: Database, **values: str) -> tuple[App, Instance]:
    async with database.transaction() as connection:
        app, number = await a_serving_app(connection, **values)
        instance = await instances.get(connection, number)
    assert instance is not None
    return app, instance


async def app_events(database: Database, app: App) -> list[str]:
    async with database.connection() as connection:
        names = [event.name for event in await events.list_of_app(connection, app.id)]
    return [name for name in reversed(names) if name.startswith("app.")]


async def finish_repair(database: Database) -> dict[str, object]:
    """End the repair job as its handler would, and return its arguments."""
    async with database.transaction() as connection:
        row = await connection.fetchrow("SELECT * FROM job WHERE kind = 'repair' AND state = 'waiting'")
        assert row is not None, "no repair was enqueued"
        await connection.execute("UPDATE job SET state = 'done', ended_at = now() WHERE id = $1", row["id"])
        return dict(row["arguments"])


async def test_the_apps_own_health_path_replaces_the_configured_one(
    database: Database, settings: config.Settings
) -> None:
    first, _ = await serving(database)
    second, _ = await serving(database, health_path="/own")
    checks = HealthChecks(settings, database)
    async with answering(first, 200) as of_first, answering(second, 302) as of_second:
        for _ in range(3):
            await checks.check_all()
    assert (of_first, of_second) == (["/well"] * 3, ["/own"] * 3)
    assert await app_events(database, first) == await app_events(database, second) == []


async def test_an_unhealthy_app_is_restarted_once_and_recovers(
    database: Database, settings: config.Settings
) -> None:
    app, instance = await serving(database)
    checks = HealthChecks(settings, database)
    async with answering(app, 500):
        await checks.check_all()
        assert await app_events(database, app) == []
        await checks.check_all()
        assert await app_events(database, app) == ["app.unhealthy"]
        await checks.check_all()
        await checks.check_all()
    assert await app_events(database, app) == ["app.unhealthy"], "not checked while its repair is under way"
    assert (await finish_repair(database))["restart"] == instance.id
    async with database.connection() as connection:
        (state,) = await apps.view(connection, app=app.id)
    assert state.is_unhealthy and state.restart_count == 0, "the repair job counts the restart"
    async with answering(app, 200):
        await checks.check_all()
        assert await app_events(database, app) == ["app.unhealthy"]
        await checks.check_all()
    assert await app_events(database, app) == ["app.unhealthy", "app.recovered"]
    async with database.connection() as connection:
        (state,) = await apps.view(connection, app=app.id)
    assert not state.is_unhealthy


async def test_an_app_that_never_answers_is_restarted_each_time(
    database: Database, settings: config.Settings
) -> None:
    app, _ = await serving(database)
    checks = HealthChecks(settings, database)
    for number in (1, 2):
        await checks.check_all()
        assert await app_events(database, app) == ["app.unhealthy"] * (number - 1)
        await checks.check_all()
        assert await app_events(database, app) == ["app.unhealthy"] * number
        reason = (await finish_repair(database))["reason"]
        assert reason == "The app did not answer 2 health checks in a row."


async def test_apps_of_plans_without_health_checks_are_not_checked(
    database: Database, settings: config.Settings
) -> None:
    app, _ = await serving(database, plan="free")
    checks = HealthChecks(settings, database)
    async with answering(app, 500) as paths:
        for _ in range(3):
            await checks.check_all()
    assert paths == [] and await app_events(database, app) == []
