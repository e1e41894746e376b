"""The first measurement of an instance is there with its first `running`, and delays nothing."""

from __future__ import annotations

import time
from pathlib import Path

from stackyn_server.pipeline.first_sample import first_sample
from stackyn_server.store import instances, releases, samples
from stackyn_server.store.database import Database
from stackyn_server.store.instances import Instance
from stackyn_server.store.releases import Release
from tests.rows import a_serving_app
from tests.slow_engine import SlowEngine


async def a_candidate(database: Database) -> tuple[Release, Instance]:
    async with database.transaction() as connection:
        _, number = await a_serving_app(connection)
        instance = await instances.get(connection, number)
        assert instance is not None
        release = await releases.get(connection, instance.release)
    assert release is not None
    return release, instance


async def test_first_sample_is_recorded_with_the_switch(database: Database, tmp_path: Path) -> None:
    release, instance = await a_candidate(database)
    slow_engine = SlowEngine()
    slow_engine.layer_bytes["candidate"] = 4096
    async with (
        slow_engine.serving(tmp_path) as engine,
        first_sample(engine, release, instance, "candidate", within_seconds=10) as measured,
        database.transaction() as connection,
    ):
        await samples.record(connection, await measured())
        row = await connection.fetchrow("SELECT * FROM sample")
        assert row is not None
        assert (
            dict(row).items()
            >= {
                "app": instance.app,
                "instance": instance.id,
                "memory_bytes": 3_000_000,
                "disk_bytes": 4096,
                "cpu": None,
            }.items()
        )


async def test_unfinished_measurement_is_left_to_the_sampler(database: Database, tmp_path: Path) -> None:
    release, instance = await a_candidate(database)
    slow_engine = SlowEngine()
    for call in ("json", "stats"):
        slow_engine.hanging = {f"containers/candidate/{call}"}
        began = time.monotonic()
        async with (
            slow_engine.serving(tmp_path) as engine,
            first_sample(engine, release, instance, "candidate", within_seconds=0.1) as measured,
        ):
            assert await measured() == []
        assert time.monotonic() - began < 5, "the engine's own limit is 30 s"
