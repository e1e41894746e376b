"""Without the engine, an app is down that accepts no connection, or that the proxy does not reach."""

from __future__ import annotations

from typing import cast

import pytest

from stackyn_server import config
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.jobs import Kind
from stackyn_server.engine.client import Engine
from stackyn_server.reconcile import reconciler
from stackyn_server.reconcile.reconciler import Reconciler
from stackyn_server.store import instances, jobs
from stackyn_server.store.database import Database
from tests.rows import a_serving_app


async def is_down(database: Database, instance: InstanceId) -> bool:
    async with database.connection() as connection:
        row = await instances.get(connection, instance)
    assert row is not None
    return row.down_since is not None


@pytest.mark.parametrize(
    ("accepts", "is_reachable", "goes_down"),
    [(True, True, False), (False, True, True), (True, False, True)],
    ids=["serves", "does not accept", "behind a closed proxy"],
)
async def test_app_is_down_without_the_engine_when_nobody_reaches_it(
    database: Database, monkeypatch: pytest.MonkeyPatch, accepts: bool, is_reachable: bool, goes_down: bool
) -> None:
    async def accepts_connections(*_: object, **__: object) -> bool:
        return accepts

    monkeypatch.setattr(reconciler, "accepts_connections", accepts_connections)
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        await jobs.enqueue_for_app(connection, Kind.REPAIR, app.id, app.tenant)  # it waits for the engine
    settings, network = config.ReconcileSettings(), config.NetworkSettings()
    engine = cast(Engine, None)
    without_engine = Reconciler(settings, network, database, engine, lambda: is_reachable)
    await without_engine.compare_without_engine()
    assert await is_down(database, instance) is goes_down
