"""Which caches have to go, and which place a build takes."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stackyn_server import config
from stackyn_server.domain.failures import FailureCode, TransientFailure
from stackyn_server.domain.ids import UserId
from stackyn_server.engine import containers
from stackyn_server.engine.builder import caches
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.caches import (
    Cache,
    CachePlaces,
    CacheQuota,
    ensure,
    list_all,
    over_quota,
    remove,
)
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.labels import Role
from tests.engine.building import fails, in_mid_step, succeeds

NOW = datetime(2026, 1, 31, tzinfo=UTC)
ANNA, BERT, GONE = (UserId(uuid.UUID(int=number)) for number in (1, 2, 3))
SNAPSHOTS = "buildkit/runc-overlayfs/snapshots"
GIB = 1024**3
ENOUGH = {ANNA: GIB, BERT: GIB}
SHARE = CacheQuota(tenant_bytes=10, total_bytes=15, unused=timedelta(days=30))


def a_cache(tenant: UserId, place: int, days_ago: float) -> Cache:
    used_at = NOW - timedelta(days=days_ago)
    return Cache(f"{tenant}-{place}", tenant, place, Path("/nowhere"), used_at)


def test_caches_go_by_owner_age_and_share_the_oldest_first() -> None:
    newest, second = a_cache(ANNA, 0, 1), a_cache(ANNA, 1, 2)
    other_cache, old = a_cache(BERT, 0, 3), a_cache(BERT, 1, 31)
    nobodys = a_cache(GONE, 0, 0)
    sizes = [(newest, 6), (second, 5), (other_cache, 9), (old, 1), (nobodys, 1)]

    assert set(map(id, over_quota(sizes, ENOUGH, SHARE, NOW))) == set(map(id, (second, old, nobodys)))


def test_no_cache_outlives_a_newer_one_of_its_tenant() -> None:
    newest, second, oldest = a_cache(ANNA, 0, 1), a_cache(ANNA, 1, 2), a_cache(ANNA, 2, 3)
    other_cache = a_cache(BERT, 0, 4)
    sizes = [(newest, 6), (second, 5), (oldest, 3), (other_cache, 9)]

    assert over_quota(sizes, ENOUGH, SHARE, NOW) == [second, oldest]


def test_caches_get_what_their_account_has_left_of_its_disk() -> None:
    newest, older, other_cache = a_cache(ANNA, 0, 1), a_cache(ANNA, 1, 2), a_cache(BERT, 0, 1)
    sizes = [(newest, 3), (older, 3), (other_cache, 1)]

    assert over_quota(sizes, {ANNA: 5, BERT: 0}, SHARE, NOW) == [other_cache, older]


def test_all_caches_together_have_a_bound() -> None:
    first, last = a_cache(ANNA, 0, 1), a_cache(BERT, 0, 2)

    assert over_quota([(first, 8), (last, 8)], ENOUGH, SHARE, NOW) == [last]


async def test_builds_of_one_tenant_take_the_lowest_free_places() -> None:
    places = CachePlaces()
    with places.place(ANNA) as first, places.place(ANNA) as second, places.place(BERT) as other_place:
        assert (first, second, other_place) == (0, 1, 0)
        with places.without_builds(ANNA, 0) as is_free:
            assert not is_free, "it is in use"
    with places.place(ANNA) as again:
        assert again == 0


async def test_a_removal_that_ends_early_leaves_no_half_of_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, folder = tmp_path / "programs", tmp_path / "cache"
    (folder / "buildkit/snapshots/2").mkdir(parents=True)
    (folder / "buildkit/metadata.db").write_text("")
    programs.mkdir()
    (programs / "find").write_text('#!/bin/sh\nrm "$1"/metadata.db\n')
    (programs / "find").chmod(0o755)

    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        await caches.remove_files(folder)
    assert not (folder / "buildkit").exists()

    await caches.remove_files(folder)
    assert not list(folder.iterdir())


def lose_snapshots(folder: Path) -> None:
    shutil.rmtree(folder / SNAPSHOTS / "snapshots")


def lose_database(folder: Path) -> None:
    (folder / SNAPSHOTS / "metadata.db").unlink()


def lose_leases(folder: Path) -> None:
    ((folder / SNAPSHOTS).parent / "containerdmeta.db").unlink()


@pytest.mark.parametrize("lose", [lose_snapshots, lose_database, lose_leases])
async def test_a_damaged_cache_is_removed_and_the_build_made_again(
    engine: Engine,
    builder: Builder,
    base_image: str,
    build_request: Callable[..., BuildRequest],
    lose: Callable[[Path], None],
) -> None:
    """As a server leaves it that lost its power, or an operator who made room by hand."""
    tenant = UserId(uuid.uuid4())
    dockerfile = f"FROM {base_image}\nRUN echo first > /first\n"
    await succeeds(builder, build_request(tenant=tenant), dockerfile)
    cache = await ensure(engine, tenant, 0)
    await asyncio.to_thread(lose, cache.folder)
    dockerfile += "RUN echo second > /second\n"

    error = await fails(builder, build_request(tenant=tenant), dockerfile)

    assert isinstance(error, TransientFailure)
    assert "damaged" in error.failure.message
    await succeeds(builder, build_request(tenant=tenant), dockerfile)


async def test_a_tenants_cache_goes_with_the_tenant(engine: Engine, builder: Builder) -> None:
    stays, goes = UserId(uuid.uuid4()), UserId(uuid.uuid4())
    kept, removed = await ensure(engine, stays, 0), await ensure(engine, goes, 0)

    await builder.remove_surplus_caches({stays: GIB}, datetime.now(UTC))

    names = {volume.name for volume in await list_all(engine)}
    assert kept.name in names and removed.name not in names


async def test_removal_that_broke_off_is_finished(engine: Engine, builder: Builder) -> None:
    tenant = UserId(uuid.uuid4())
    cache = await ensure(engine, tenant, 0)

    def leave_aside() -> None:
        (cache.folder / "buildkit").mkdir()
        (cache.folder / f"{caches.REMOVED_PREFIX}1").mkdir()
        (cache.folder / f"{caches.REMOVED_PREFIX}1" / "layer").touch()

    await asyncio.to_thread(leave_aside)

    await builder.remove_surplus_caches({tenant: GIB}, datetime.now(UTC))

    assert await asyncio.to_thread(lambda: [entry.name for entry in cache.folder.iterdir()]) == ["buildkit"]


async def test_what_a_failed_build_had_done_is_there_for_the_next(
    base_image: str, builder: Builder, build_request: Callable[..., BuildRequest]
) -> None:
    tenant = UserId(uuid.uuid4())
    done = f"FROM {base_image}\nRUN echo installed\n"
    await fails(builder, build_request(tenant=tenant), f"{done}RUN false")
    await builder.remove_surplus_caches({tenant: GIB}, datetime.now(UTC))

    _, lines = await succeeds(builder, build_request(tenant=tenant), f"{done}RUN true")

    (cached,) = [line for line in lines if line.startswith("CACHED")]
    assert "echo installed" in cached


async def test_cache_files_go_before_the_engine_removes_the_volume(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = await ensure(engine, UserId(uuid.uuid4()), 0)
    await asyncio.to_thread(lambda: (cache.folder / "deep" / "er").mkdir(parents=True))
    await asyncio.to_thread((cache.folder / "deep" / "er" / "file").touch)
    ask, left = engine.request_or_none, []

    async def listed(method: str, path: str) -> object:
        left.append(await asyncio.to_thread(lambda: list(cache.folder.iterdir())))
        return await ask(method, path)

    monkeypatch.setattr(engine, "request_or_none", listed)

    assert await remove(engine, cache)

    assert left == [[]]
    assert cache.name not in {volume.name for volume in await list_all(engine)}


async def test_a_cache_that_a_container_uses_stays_as_it_is(engine: Engine, base_image: str) -> None:
    cache = await ensure(engine, UserId(uuid.uuid4()), 0)
    await asyncio.to_thread((cache.folder / "file").touch)
    mount = {"Type": "volume", "Source": cache.name, "Target": "/cache"}
    body = {"Image": base_image, "HostConfig": {"Mounts": [mount]}}
    user = await engine.request("POST", "containers/create", body=body)
    try:
        assert not await remove(engine, cache)

        assert await asyncio.to_thread((cache.folder / "file").exists)
    finally:
        await engine.request("DELETE", f"containers/{user['Id']}")
    assert await remove(engine, cache)


async def test_next_build_but_no_error_waits_for_cache_removal(
    engine: Engine,
    base_image: str,
    build_settings: config.Settings,
    build_request: Callable[..., BuildRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tight = build_settings.model_copy(update={"builds": config.BuildsSettings(disk_mb=50, free_disk_mb=64)})
    builder, tenant = Builder(engine, tight, RegistryAvailability(tight)), UserId(uuid.uuid4())
    may_go_on = asyncio.Event()

    async def slow(engine: Engine, cache: Cache) -> bool:
        await may_go_on.wait()
        return await remove(engine, cache)

    monkeypatch.setattr(caches, "remove", slow)
    too_large = f"FROM {base_image}\nRUN dd if=/dev/zero of=/big bs=1M count=200; sleep 60\n"

    error = await fails(builder, build_request(tenant=tenant), too_large)

    assert error.failure.code is FailureCode.BUILD_DISK
    small = f"FROM {base_image}\nRUN true\n"
    following = asyncio.create_task(succeeds(builder, build_request(tenant=tenant), small))
    await succeeds(builder, build_request(), small)
    assert not following.done()
    may_go_on.set()
    await following


async def test_builds_of_each_tenant_run_as_a_user_of_its_own(
    engine: Engine, builder: Builder, build_request: Callable[..., BuildRequest], base_image: str
) -> None:
    """The kernel's counters by user are then its own too."""
    seen = []
    for tenant in (ANNA, BERT):
        request = build_request(tenant=tenant)
        async with in_mid_step(builder, request, base_image, "sleep 600") as building:
            (container,) = await containers.list_of_role(engine, Role.BUILDER, request.deployment)
            listed = await engine.request(
                "GET", f"containers/{container.id}/top", params={"ps_args": "-eo uid,pid"}
            )
            seen.append({int(uid) for uid, _ in listed["Processes"]})
            building.cancel()
    assert not seen[0] & seen[1], seen
    assert all(uid >= 1_000_000_000 for uids in seen for uid in uids), seen


async def test_a_cache_of_an_earlier_release_is_begun_anew(
    engine: Engine, builder: Builder, build_request: Callable[..., BuildRequest], base_image: str
) -> None:
    """All builds had one user then, which could read no files of this one's."""
    tenant = UserId(uuid.uuid4())
    cache = await ensure(engine, tenant, 0)
    (cache.folder / "buildkit").mkdir(mode=0o700)
    for path in (cache.folder / "buildkit", cache.folder):
        os.chown(path, 1001, 1001)

    await succeeds(builder, build_request(tenant=tenant), f"FROM {base_image}\nRUN true\n")

    assert {path.stat().st_uid for path in (cache.folder, cache.folder / "buildkit")} == {cache.user.uid}
