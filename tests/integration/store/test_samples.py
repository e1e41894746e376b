"""Samples: steps of a series, fine rows that become coarse ones, and which of them an app is shown with."""

from __future__ import annotations

import pytest

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.services.views import app_view
from stackyn_server.store import apps, instances, samples
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.samples import NewSample
from tests.rows import a_serving_app

HOUR = 3600


def sample(app: AppId, instance: InstanceId, **values: object) -> NewSample:
    chosen = {"cpu": 0.5, "memory_bytes": 1000, "received_bytes": 10, "sent_bytes": 20, "disk_bytes": 7}
    return NewSample(app=app, instance=instance, **{**chosen, **values})  # type: ignore[arg-type]


async def take(connection: Connection, new_sample: NewSample, *, seconds_ago: float) -> None:
    await samples.record(connection, [new_sample])
    await connection.execute(
        "UPDATE sample SET taken_at = date_trunc('hour', now()) - make_interval(secs => $2) "
        "WHERE app = $1 AND taken_at = (SELECT max(taken_at) FROM sample WHERE app = $1)",
        new_sample.app,
        seconds_ago,
    )


async def test_a_series_has_one_point_for_each_step_with_samples(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        first = sample(app.id, instance, cpu=None, received_bytes=None, sent_bytes=None, memory_bytes=3000)
        await take(connection, first, seconds_ago=600)
        await take(connection, sample(app.id, instance, cpu=0.2), seconds_ago=590)
        await take(connection, sample(app.id, instance, cpu=0.4), seconds_ago=580)
        await take(connection, sample(app.id, instance, disk_bytes=9), seconds_ago=60)
        points = await samples.series(connection, app.id, seconds=3 * HOUR, step_seconds=300)
        assert [(point.memory_bytes, point.received_bytes, point.disk_bytes) for point in points] == [
            (3000, 20, 7),
            (1000, 10, 9),
        ]
        assert round(points[0].cpu or 0, 3) == 0.3, "a first sample has no rate to average"
        assert (points[1].at - points[0].at).total_seconds() == 300
        assert await samples.series(connection, app.id, seconds=1, step_seconds=300) == []


async def test_old_samples_are_condensed_and_then_purged(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        for second in (10, 20, 30):
            await take(connection, sample(app.id, instance, cpu=second / 10), seconds_ago=2 * HOUR - second)
        await take(connection, sample(app.id, instance), seconds_ago=0)
        gone = await samples.condense(connection, older_than_seconds=HOUR, step_seconds=300, limit=100)
        again = await samples.condense(connection, older_than_seconds=HOUR, step_seconds=300, limit=100)
        assert (gone, again) == (3, 0)
        rows = await connection.fetch("SELECT * FROM sample WHERE app = $1 ORDER BY taken_at", app.id)
        assert [(row["coarse"], row["cpu"], row["received_bytes"]) for row in rows] == [
            (True, 2.0, 30),
            (False, 0.5, 10),
        ]
        await connection.execute("UPDATE sample SET taken_at = taken_at - interval '31 days' WHERE coarse")
        assert await samples.purge(connection, 30, limit=10) == 1
        assert await connection.fetchval("SELECT count(*) FROM sample WHERE app = $1", app.id) == 1


async def test_an_app_shows_the_newest_sample_of_what_serves(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        (state,) = await apps.view(connection, app=app.id)
        assert state.memory_bytes is None, "never sampled"
        await take(connection, sample(app.id, instance, memory_bytes=1), seconds_ago=60)
        await take(connection, sample(app.id, instance, memory_bytes=2), seconds_ago=30)
        (state,) = await apps.view(connection, app=app.id)
        assert (state.memory_bytes, state.disk_bytes) == (2, 7)
        await take(connection, sample(app.id, InstanceId(instance + 1)), seconds_ago=0)
        (state,) = await apps.view(connection, app=app.id)
        assert state.memory_bytes is None, "what another instance used says nothing of this one"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE route SET state = 'held'",
        "UPDATE app SET desired = 'stopped'",
        "UPDATE instance SET state = 'draining'",
        "UPDATE instance SET down_since = now()",
    ],
    ids=["asleep", "stopped", "draining", "down"],
)
async def test_an_app_that_does_not_run_shows_no_old_figures(database: Database, change: str) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        await samples.record(connection, [sample(app.id, instance)])
        (state,) = await apps.view(connection, app=app.id)
        assert state.memory_bytes is not None
        await connection.execute(change)
        (state,) = await apps.view(connection, app=app.id)
        assert state.memory_bytes is None


async def test_samples_of_an_app_that_is_gone_are_left_out(database: Database) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        await samples.record(
            connection, [sample(app.id, instance), sample(AppId(app.id + 1000), InstanceId(1))]
        )
        assert await connection.fetchval("SELECT count(*) FROM sample") == 1
        assert [serving.instance for serving in await instances.serving_now(connection)] == [instance]


@pytest.mark.parametrize(("disk_bytes", "shown_gb"), [(0, 0), (1, 0.000001), (4096, 0.000004), (2**29, 0.5)])
async def test_shown_disk_is_0_only_when_nothing_is_used(
    database: Database, disk_bytes: int, shown_gb: float
) -> None:
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
        await samples.record(connection, [sample(app.id, instance, disk_bytes=disk_bytes)])
        (state,) = await apps.view(connection, app=app.id)
    usage = app_view(Settings(), state).usage
    assert usage is not None and usage.disk_gb == shown_gb
    assert (usage.disk_percent > 0) == (disk_bytes > 0)
