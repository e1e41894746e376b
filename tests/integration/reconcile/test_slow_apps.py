"""An app that takes long to measure is measured later, alone; the others are measured, and stopped, in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stackyn_server import config
from stackyn_server.engine import labels as keys
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineUnavailable
from stackyn_server.engine.events import Action, EngineEvent
from stackyn_server.journal.runtime_log_keeper import RuntimeLogKeeper
from stackyn_server.reconcile.app_disks import AppDisks
from stackyn_server.reconcile.compare import Differences
from stackyn_server.reconcile.crashes import CrashCounter
from stackyn_server.reconcile.reconciler import Reconciler
from stackyn_server.reconcile.sampler import Sampler
from stackyn_server.store import apps, instances, samples
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.instances import ServingInstance
from stackyn_server.store.samples import NewSample
from tests.patience import within
from tests.rows import a_serving_app
from tests.slow_engine import SlowEngine

MEBIBYTE = 1024**2
# A machine under load takes its time for the apps that are not slow.
SETTINGS = config.SamplesSettings(app_seconds=2, slow_seconds=60, disk_seconds=0.01)


@pytest.fixture
async def serving(database: Database) -> list[ServingInstance]:
    """Three apps; the first is the slow one."""
    async with database.transaction() as connection:
        for _ in range(3):
            await a_serving_app(connection)
        return await instances.serving_now(connection)


@asynccontextmanager
async def watching(database: Database, engine: Engine) -> AsyncIterator[tuple[AppDisks, Sampler]]:
    """Yield both watches, whose slow apps are measured as in the server."""
    disks = AppDisks(SETTINGS, database, engine, asyncio.Event())
    sampler = Sampler(SETTINGS, database, engine, asyncio.Event(), disks.used_bytes)
    tasks = [asyncio.create_task(watch.take_slow_ones(), name="slow") for watch in (disks, sampler)]
    try:
        yield disks, sampler
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def sampled(database: Database) -> dict[int, int]:
    """The number of samples by instance."""
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT instance, count(*) FROM sample GROUP BY instance")
    return {row["instance"]: row["count"] for row in rows}


async def test_slow_disk_holds_up_neither_samples_nor_limits(
    database: Database, serving: list[ServingInstance], tmp_path: Path
) -> None:
    slow, full, good = serving
    slow_engine, path = SlowEngine(), f"containers/{slow.container}/json"
    slow_engine.hanging = {path}
    slow_engine.layer_bytes = {full.container: 2 * full.disk_mb * MEBIBYTE, slow.container: 7}
    async with slow_engine.serving(tmp_path) as engine, watching(database, engine) as (disks, sampler):
        with capture_logs() as logged:
            for _ in range(3):
                async with within(20):
                    await disks.take()
                    await sampler.take()
        async with database.connection() as connection:
            stopped = await apps.get(connection, full.app)
        assert stopped is not None and "wrote more to its disk" in (stopped.stop_reason or "")
        assert (await sampled(database)).get(good.instance) == 3
        unmeasured = [entry for entry in logged if entry["event"] == "disk.unmeasured"]
        assert [(entry["app"], entry["reason"]) for entry in unmeasured] == [(slow.app, "It took too long.")]
        await slow_engine.until_asked(path, 2)
        assert slow_engine.asked[path] == 2, "asked once more, alone, for as long as it takes"
        await slow_engine.release(path)
        async with within(20):
            while disks.used_bytes(slow) != 7:
                await disks.take()


async def test_slow_stats_hold_up_no_other_app(
    database: Database, serving: list[ServingInstance], tmp_path: Path
) -> None:
    slow, other, third = serving
    slow_engine, path = SlowEngine(), f"containers/{slow.container}/stats"
    slow_engine.hanging = {path}
    async with slow_engine.serving(tmp_path) as engine, watching(database, engine) as (disks, sampler):
        await disks.take()
        for _ in range(2):
            await sampler.take()
        assert await sampled(database) == {other.instance: 2, third.instance: 2}
        await slow_engine.until_asked(path, 2)
        await slow_engine.release(path)
        async with within(20):
            while slow.instance not in await sampled(database):
                await sampler.take()


async def test_disk_that_an_earlier_server_measured_is_known(
    database: Database, serving: list[ServingInstance]
) -> None:
    target = serving[0]
    row = NewSample(target.app, target.instance, None, 1, None, None, disk_bytes=5)
    async with database.transaction() as connection:
        await samples.record(connection, [row])
        again = [one for one in await instances.serving_now(connection) if one.instance == target.instance]
    disks = AppDisks(SETTINGS, database, None, asyncio.Event())  # type: ignore[arg-type]
    assert [disks.used_bytes(one) for one in again] == [5]


async def test_listing_that_hangs_is_given_up_and_made_again(database: Database, tmp_path: Path) -> None:
    slow_engine, path = SlowEngine(), "containers/json"
    slow_engine.hanging = {path}
    settings = config.ReconcileSettings(listing_seconds=0.1)
    async with slow_engine.serving(tmp_path) as engine:
        reconciler = Reconciler(settings, config.NetworkSettings(), database, engine)
        with pytest.raises(EngineUnavailable):
            await reconciler.compare()
        assert slow_engine.asked[path] == 1
        await slow_engine.release(path)
        await reconciler.compare()


async def test_instance_may_end_while_it_is_recorded_as_back(
    database: Database, serving: list[ServingInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = serving[0].instance
    settings = config.ReconcileSettings(steady_seconds=1e-9)
    reconciler = Reconciler(settings, config.NetworkSettings(), database, None)  # type: ignore[arg-type]
    transaction = database.transaction

    @asynccontextmanager
    async def ends_meanwhile() -> AsyncIterator[Connection]:
        async with transaction() as connection:
            yield connection
            reconciler.instance_ended(instance)

    monkeypatch.setattr(database, "transaction", ends_meanwhile)
    for _ in range(2):
        await reconciler._record(Differences(back=(instance,)))
    assert not reconciler.is_settling


async def test_storm_of_crashes_is_a_few_looks_at_each_app(
    database: Database, serving: list[ServingInstance], tmp_path: Path
) -> None:
    slow_engine = SlowEngine()
    limits = config.ReconcileSettings(event_seconds=0.2)
    settings = config.Settings().model_copy(update={"reconcile": limits})
    async with slow_engine.serving(tmp_path) as engine:
        crashes = CrashCounter(settings, database, engine, RuntimeLogKeeper(database, engine, settings))
        task = asyncio.create_task(crashes.run(), name="crashes")
        try:
            for _ in range(50):
                for target in serving:
                    event = EngineEvent(Action.DIE, exit_code=1, labels={keys.INSTANCE: str(target.instance)})
                    crashes.note(event)
                await asyncio.sleep(0)
            await slow_engine.until_asked("containers/json", 2 * len(serving))
        finally:
            task.cancel()
            await asyncio.wait([task])
    assert slow_engine.asked["containers/json"] < 10 * len(serving), "of 50 events of each"
