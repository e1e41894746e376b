"""An account above its plan's disk keeps the images of its newest releases alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackyn_server import config
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import UserId
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.errors import EngineUnavailable
from stackyn_server.reconcile.garbage import GarbageCollector
from stackyn_server.store import releases
from stackyn_server.store.database import Database
from tests.rows import a_deployment, a_release, an_account, an_app
from tests.slow_engine import SlowEngine

MIB = 1024 * 1024


@pytest.mark.parametrize(("image_mb", "kept"), [(100, 3), (500, 1)])
async def test_images_of_earlier_releases_make_room(
    database: Database, settings: config.Settings, tmp_path: Path, image_mb: int, kept: int
) -> None:
    """Three releases, of an account whose plan has 1,024 MiB."""
    async with database.transaction() as connection:
        app = await an_app(connection, await an_account(connection, plan="free"))
        for number in range(3):
            deployment = await a_deployment(connection, app, Phase.FAILED)
            release = await a_release(connection, deployment, image=f"sha256:{number}")
            await releases.number(connection, release.id, app.id)
            await connection.execute(
                "UPDATE deployment SET image = $2, image_bytes = $3 WHERE id = $1",
                deployment.id,
                release.image,
                image_mb * MIB,
            )
    async with SlowEngine().serving(tmp_path) as engine:
        builder = Builder(engine, settings, RegistryAvailability(settings))
        collector = GarbageCollector(settings, database, engine, builder, tmp_path)
        await collector._measure_disk_use()
        await collector._remove_images_beyond_rollback()
    async with database.connection() as connection:
        numbered = await releases.numbered_of_app(connection, app.id)
    assert [release.number for release in numbered if release.image_removed_at is None] == [3, 2, 1][:kept]


async def test_failed_measurement_costs_no_account_its_caches(
    database: Database, settings: config.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: dict[UserId, int] = {}

    async def fail(_: Builder) -> dict[UserId, int]:
        raise EngineUnavailable("it took too long")

    async def remember(_: Builder, tenants: dict[UserId, int], __: object) -> list[str]:
        allowed.update(tenants)
        return []

    monkeypatch.setattr(Builder, "cache_sizes", fail)
    monkeypatch.setattr(Builder, "remove_surplus_caches", remember)
    async with database.transaction() as connection:
        account = await an_account(connection, plan="free")
        await an_app(connection, account)
    async with SlowEngine().serving(tmp_path) as engine:
        builder = Builder(engine, settings, RegistryAvailability(settings))
        with pytest.raises(EngineUnavailable):
            await GarbageCollector(settings, database, engine, builder, tmp_path).collect(None)  # type: ignore[arg-type]
    assert allowed == {account: settings.plans["free"].max_disk_mb * MIB}
