"""The caches of builds: a volume for each tenant and build place, because a daemon locks its folder."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Set
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from stackyn_server.domain.ids import UserId
from stackyn_server.engine import labels as keys
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, InUse
from stackyn_server.engine.labels import Role

_TOLD = "control"  # what a build is told beside its files: secrets and credentials
REMOVED_PREFIX = "gone-"  # begins the names of what is set aside to be removed
OUT = "out"  # the image that a build leaves
WORK = "work"  # made anew by each build: its time is when the cache was last used


@dataclass(frozen=True, slots=True)
class Cache:
    """`folder` is where the host has the volume `name`; `used_at` when a build last began in it."""

    name: str
    tenant: UserId
    place: int
    folder: Path
    used_at: datetime


class CachePlaces:
    """Which caches are in use by builds of this process."""

    def __init__(self) -> None:
        self._taken: set[tuple[UserId, int]] = set()

    @asynccontextmanager
    async def place(self, tenant: UserId) -> AsyncIterator[int]:
        """Hold the lowest free place of a tenant."""
        number = next(n for n in range(len(self._taken) + 1) if (tenant, n) not in self._taken)
        self._taken.add((tenant, number))
        try:
            yield number
        finally:
            self._taken.discard((tenant, number))

    @contextmanager
    def without_builds(self, tenant: UserId, number: int) -> Iterator[bool]:
        """Keep builds out of a place. False when one is in it."""
        if (tenant, number) in self._taken:
            yield False
            return
        self._taken.add((tenant, number))
        try:
            yield True
        finally:
            self._taken.discard((tenant, number))


@dataclass(frozen=True, slots=True)
class CacheQuota:
    """What all caches of one tenant may keep, and those of all tenants, in bytes, and for how long unused."""

    tenant_bytes: int
    total_bytes: int
    unused: timedelta


def over_quota(
    caches: Iterable[tuple[Cache, int]], tenants: Set[UserId], share: CacheQuota, now: datetime
) -> list[Cache]:
    """Return the caches that have to go: of nobody in `tenants`, unused for long, or beyond a share, the oldest first
    out. `caches` with the bytes that they occupy. Pure."""
    gone, total, of_tenant = [], 0, Counter[UserId]()
    for cache, size in sorted(caches, key=lambda one: one[0].used_at, reverse=True):
        if cache.tenant not in tenants or now - cache.used_at > share.unused:
            gone.append(cache)
            continue
        # Counted also where it goes, so that none that is older stays in its place.
        of_tenant[cache.tenant] += size
        is_within = of_tenant[cache.tenant] <= share.tenant_bytes
        total += size if is_within else 0
        if not is_within or total > share.total_bytes:
            gone.append(cache)
    return gone


async def ensure(engine: Engine, tenant: UserId, place: int) -> Cache:
    """Return the cache of a tenant's place, made where it was missing. Raises `EngineUnavailable`."""
    name = engine.labels.cache_name(tenant, place)
    wanted = {"Name": name, "Labels": engine.labels.cache_volume(tenant, place)}
    found = await engine.request("POST", "volumes/create", body=wanted)
    if not engine.labels.owns_volume(name, found.get("Labels") or {}):
        raise EngineRefused(0, f"the volume {name} exists and is not ours")
    return await _cache(found)


async def list_all(engine: Engine) -> list[Cache]:
    """Return the caches of this installation, the one used last first."""
    filters = engine.labels.object_filter()
    filters["label"].append(f"{keys.ROLE}={Role.BUILD_CACHE}")
    found = await engine.request("GET", "volumes", params={"filters": json.dumps(filters)})
    ours = [
        volume
        for volume in found.get("Volumes") or []
        if engine.labels.owns_volume(volume["Name"], volume.get("Labels") or {})
    ]
    caches = await asyncio.gather(*(_cache(volume) for volume in ours))
    return sorted(caches, key=lambda cache: cache.used_at, reverse=True)


async def remove(engine: Engine, cache: Cache) -> bool:
    """Remove a cache in which no build begins meanwhile. False when a container uses it; absent is success.

    Its files go before it, by a process of their own: as long as the engine removes a volume, everybody waits who asks
    it for another one, and a build can leave a million files. Raises `EngineUnavailable`.
    """
    filters = json.dumps({"volume": [cache.name]})
    if await engine.request("GET", "containers/json", params={"all": "true", "filters": filters}):
        return False
    await remove_files(cache.folder)
    try:
        await engine.request_or_none("DELETE", f"volumes/{cache.name}")
    except InUse:
        return False
    return True


async def remove_files(folder: Path) -> None:
    """Remove what is in the folder, as far as it lets itself be removed. Cancelled, it stops: what is left is under
    another name by then, so that no build begins with half a cache."""
    await asyncio.to_thread(_set_aside, folder)
    await finish_removal(folder)


async def finish_removal(folder: Path) -> None:
    """Remove what has been set aside to be removed, as far as it lets itself be."""
    paths = await asyncio.to_thread(pending_removals, folder)
    if not paths:
        return
    process = await asyncio.create_subprocess_exec(
        *("find", *map(str, paths), "-delete"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def pending_removals(folder: Path) -> list[Path]:
    """Return what is to be removed from a cache, and is not gone yet: removing takes minutes, and may be broken off.
    It blocks."""
    with suppress(FileNotFoundError):
        return [entry for entry in folder.iterdir() if entry.name.startswith(REMOVED_PREFIX)]
    return []


def _set_aside(folder: Path) -> None:
    with suppress(FileNotFoundError):
        for entry in list(folder.iterdir()):
            if not entry.name.startswith(REMOVED_PREFIX):
                entry.rename(folder / f"{REMOVED_PREFIX}{uuid4().hex}")


async def remove_build_remains(cache: Cache) -> None:
    """Remove the secrets and credentials of a build that has ended, and the image that it left, which is taken."""
    await asyncio.to_thread(_forget_told, cache.folder)
    await asyncio.to_thread(_forget_image, cache.folder)


def _forget_image(folder: Path) -> None:
    # Without following a link in its place. What can't be removed now is by the next build.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            shutil.rmtree(OUT, dir_fd=descriptor)
        finally:
            os.close(descriptor)


def _forget_told(folder: Path) -> None:
    # A link that a build may have made is not followed.
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    with suppress(FileNotFoundError, NotADirectoryError):
        top = os.open(folder, flags)
        try:
            work = os.open(WORK, flags, dir_fd=top)
            try:
                shutil.rmtree(_TOLD, dir_fd=work)
            finally:
                os.close(work)
        finally:
            os.close(top)


async def _cache(volume: dict[str, Any]) -> Cache:
    folder = Path(volume["Mountpoint"])
    tenant = UserId(UUID(volume["Labels"][keys.TENANT]))
    place = int(volume["Labels"][keys.PLACE])
    return Cache(volume["Name"], tenant, place, folder, await asyncio.to_thread(_used_at, folder))


def _used_at(folder: Path) -> datetime:
    """Of a cache that no build has begun in, when it was made."""
    for there in (folder / WORK, folder):
        try:
            return datetime.fromtimestamp(there.lstat().st_mtime, UTC)
        except OSError:
            continue
    return datetime.fromtimestamp(0, UTC)
