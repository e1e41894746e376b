"""What an account occupies of the disk, added up from what was measured elsewhere."""

from __future__ import annotations

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.disk_use import DiskUse
from stackyn_server.domain.ids import InstanceId
from stackyn_server.store import deployments, disk_use, instances, releases, samples
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Mover, StepResults
from stackyn_server.store.logs import LogSize
from stackyn_server.store.samples import NewSample
from tests.rows import a_deployment, a_release, a_serving_app, an_account, an_app


async def a_release_of(connection: Connection, app: App, image: str, image_bytes: int | None) -> None:
    """A release that went live once, whose deployment built the image (None: took it from an earlier one)."""
    deployment = await a_deployment(connection, app, Phase.BUILDING)
    results = StepResults(image=image, image_bytes=image_bytes)
    deployment = await deployments.advance(connection, deployment, Phase.BUILT, Mover(0, "test:1"), results)
    release = await a_release(connection, deployment, image=image)
    await releases.number(connection, release.id, app.id)


async def test_each_part_counts_once_for_its_account(database: Database) -> None:
    async with database.transaction() as connection:
        account = await an_account(connection)
        app, instance = await a_serving_app(connection, await an_app(connection, account))
        stopped = await an_app(connection, account)
        await samples.record(connection, [NewSample(app.id, instance, None, 1, None, None, disk_bytes=3)])
        await a_release_of(connection, app, "sha256:a", 10)
        await a_release_of(connection, app, "sha256:a", None)
        await a_release_of(connection, stopped, "sha256:b", 20)
        await disk_use.remember_logs(
            connection, [LogSize(app.id, "build", 400), LogSize(stopped.id, "runtime", 5)]
        )
        await disk_use.remember_logs(connection, [LogSize(app.id, "build", 4)])
        other = await an_account(connection)
        await an_app(connection, other)

        measured = await disk_use.measure(connection, {account: 1000, other: 7})

        assert measured[account] == DiskUse(apps_bytes=3, images_bytes=30, caches_bytes=1000, logs_bytes=9)
        assert measured[other] == DiskUse(caches_bytes=7)
        assert await disk_use.of_account(connection, account) == measured[account]


async def test_what_is_gone_counts_no_more(database: Database) -> None:
    async with database.transaction() as connection:
        account = await an_account(connection)
        app, instance = await a_serving_app(connection, await an_app(connection, account))
        await samples.record(connection, [NewSample(app.id, instance, None, 1, None, None, disk_bytes=3)])
        await a_release_of(connection, app, "sha256:a", 10)
        assert (await disk_use.measure(connection, {}))[account].kept_bytes == 13
        await instances.set_gone(connection, InstanceId(instance))
        await releases.image_removed(connection, app.id, "sha256:a")

        await disk_use.measure(connection, {})

        assert await disk_use.of_account(connection, account) == DiskUse()
