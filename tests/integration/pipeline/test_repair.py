"""A repair whose probe fails for a passing reason is tried again, and its restart is done and counted once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stackyn_server.domain.failures import Failure, FailureCode, TransientFailure
from stackyn_server.domain.jobs import JobState, Kind, RepairArguments
from stackyn_server.engine import containers
from stackyn_server.pipeline import repair
from stackyn_server.pipeline.rollout import probe
from stackyn_server.store import events, instances, jobs
from stackyn_server.store.database import Database
from tests.integration.jobs.builders import dispatching, rows, until_state
from tests.integration.pipeline.parts import a_context
from tests.rows import a_serving_app

AWAY = TransientFailure(Failure(FailureCode.ENGINE_UNAVAILABLE, "The engine does not answer."))


async def test_restart_is_done_and_counted_once_for_all_attempts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts, probes = [], []

    async def find(_engine: object, _instance: object) -> SimpleNamespace:
        return SimpleNamespace(id="container", running=True, restarting=False)

    async def restart(_engine: object, container: str, _grace_seconds: float) -> None:
        restarts.append(container)

    async def start(*_: object) -> str:
        return "container"

    async def set_restart(*_: object, on: bool) -> None:
        assert on

    async def until_ready(*_: object, **_options: object) -> int:
        probes.append(len(restarts))
        if len(probes) < 3:
            raise AWAY
        return 8080

    for function in (find, restart, start, set_restart):
        monkeypatch.setattr(containers, function.__name__, function)
    monkeypatch.setattr(probe, "until_ready", until_ready)
    monkeypatch.setattr(repair, "container_spec", lambda *_: SimpleNamespace(instance=0))
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        arguments = RepairArguments(instance, "The app did not answer 3 health checks in a row.")
        await jobs.enqueue_for_app(connection, Kind.REPAIR, app.id, app.tenant, arguments)
    async with dispatching(database, {Kind.REPAIR: repair.Repair(a_context(database))}):
        (job,) = await rows(database, "kind = 'repair'")
        await until_state(database, job.id, JobState.DONE)

    assert probes == [1, 1, 1] and restarts == ["container"]
    async with database.connection() as connection:
        names = [event.name for event in await events.list_of_app(connection, app.id)]
        row = await instances.get(connection, instance)
    assert names.count("app.restarted") == 1
    assert row is not None and row.restart_count == 1
