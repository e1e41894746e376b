"""The build log of a deployment that is seen as running is complete."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stackyn_server.domain.deployments import Phase
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.rollout import release as release_module
from stackyn_server.pipeline.rollout.release import ReleaseHandler
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import logs
from stackyn_server.store.database import Database
from tests.integration.pipeline.parts import a_context, a_job, nothing
from tests.rows import a_deployment, an_app


@asynccontextmanager
async def _not_measured(*_: object, **__: object) -> AsyncIterator[Any]:
    yield nothing


async def test_the_last_line_is_stored_before_it_is_running(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_module, "first_sample", _not_measured)
    handler = ReleaseHandler(a_context(database, journal=journal))
    async with database.transaction() as connection:
        app = await an_app(connection)
        deployment = await a_deployment(connection, app, Phase.SWITCHING)
    run = DeploymentRun(a_job(deployment.id), database, journal, handler._settings, deployment)
    stored: list[str] = []

    async def recorded_as_live(*_: object) -> None:
        async with database.connection() as connection:
            stored.append(await logs.read_text(connection, deployment.id, "build", 10_000))

    monkeypatch.setattr(handler, "_go_live", recorded_as_live)
    candidate = SimpleNamespace(
        release=SimpleNamespace(protocol="h2c"), instance=SimpleNamespace(id=1), container="c"
    )
    strategy = SimpleNamespace(switch=nothing, after_live=nothing)
    await handler._switch(run, cast(Any, strategy), cast(Any, SimpleNamespace(app=app)), cast(Any, candidate))
    assert stored == [f"Live at http://{app.slug}.localhost\n"]
