"""An account above its plan's disk builds nothing more; all else goes on."""

from __future__ import annotations

from stackyn_server.config import Settings
from tests.contract.conftest import Person, Platform

MIB = 1024 * 1024


async def occupy(platform: Platform, person: Person, images_mb: int) -> None:
    """Let the last measurement have said so."""
    async with platform.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO disk_use (account, apps_bytes, images_bytes, caches_bytes, logs_bytes) "
            "VALUES ($1, 0, $2, $3, 1) ON CONFLICT (account) DO UPDATE SET images_bytes = excluded.images_bytes",
            person.id,
            images_mb * MIB,
            5 * MIB,
        )


async def test_account_above_its_disk_builds_nothing_more(platform: Platform) -> None:
    person, admin = await platform.person(plan="pro"), await platform.person(is_admin=True)
    limit_mb = Settings().plans["pro"].max_disk_mb
    app = await person.new_app()
    await occupy(platform, person, limit_mb + 1)

    for answer in (
        await person.post(f"/api/v1/apps/{app}/redeploy"),
        await person.post(
            "/api/v1/apps", json={"name": "More", "repo_url": "https://git.example.test/a.git"}
        ),
    ):
        assert (answer.status, answer.json["code"]) == (403, "QUOTA_DISK")
        assert f"of the {limit_mb} MB of disk in your plan" in answer.json["error"]
    assert (await person.post(f"/api/v1/apps/{app}/stop")).status == 200
    assert (await admin.post(f"/admin/apps/{app}/redeploy")).status == 201, "not subject to the quota"

    await occupy(platform, person, 1)
    assert (await person.post(f"/api/v1/apps/{app}/redeploy")).status == 201


async def test_profile_shows_what_occupies_the_disk(platform: Platform) -> None:
    person = await platform.person()
    nothing = {"apps_mb": 0, "images_mb": 0, "caches_mb": 0, "logs_mb": 0}
    assert (await person.get("/api/user/me")).json["quota"]["disk_use"] == nothing
    await occupy(platform, person, 7)
    used = {"apps_mb": 0, "images_mb": 7, "caches_mb": 5, "logs_mb": 1}
    assert (await person.get("/api/user/me")).json["quota"]["disk_use"] == used
