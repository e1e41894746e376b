"""The caches of builds: one volume for each tenant and place. A tenant's parallel builds have different places, because
a daemon locks its folder."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from stackyn_server.domain.ids import UserId
from stackyn_server.engine import labels as keys
from stackyn_server.engine.builder.builder_user import NAMES, BuilderUser, user_of
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, InUse
from stackyn_server.engine.labels import Role

_CONTROL = "control"  # a build's secrets and credentials
REMOVED_PREFIX = "gone-"  # begins the names of files that are to be removed
OUT = "out"  # the image that a build made
WORK = "work"  # each build makes it anew: its time tells when the cache was last used


@dataclass(frozen=True, slots=True)
class Cache:
    """`folder` is the host's folder of the volume `name`; `used_at` is the start of the last build in it."""

    name: str
    tenant: UserId
    place: int
    folder: Path
    used_at: datetime

    @property
    def user(self) -> BuilderUser:
        """The user that owns the cache and runs builds in it."""
        return user_of(self.tenant)

    @property
    def names(self) -> Path:
        """The folder with the files that name the user, which goes with the volume."""
        return self.folder.parent / NAMES


class CachePlaces:
    """The places that builds of this process hold."""

    def __init__(self) -> None:
        self._taken: set[tuple[UserId, int]] = set()

    @contextmanager
    def place(self, tenant: UserId) -> Iterator[int]:
        """Hold the lowest free place of a tenant."""
        number = next(n for n in range(len(self._taken) + 1) if (tenant, n) not in self._taken)
        with self.without_builds(tenant, number):
            yield number

    @contextmanager
    def without_builds(self, tenant: UserId, number: int) -> Iterator[bool]:
        """Keep builds out of a place. Yield False when a build holds it."""
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
    """The most bytes of one tenant's caches and of all caches, and how long an unused cache is kept."""

    tenant_bytes: int
    total_bytes: int
    unused: timedelta


def over_quota(
    caches: Iterable[tuple[Cache, int]], tenants: Mapping[UserId, int], quota: CacheQuota, now: datetime
) -> list[Cache]:
    """Return the caches to remove: of accounts not in `tenants`, unused for too long, or over quota; of these the least
    recently used. `tenants` says how many bytes of disk each account has left for them. `caches` come with their sizes
    in bytes. Pure."""
    to_remove, total, of_tenant = [], 0, Counter[UserId]()
    for cache, size in sorted(caches, key=lambda cache_and_size: cache_and_size[0].used_at, reverse=True):
        if cache.tenant not in tenants or now - cache.used_at > quota.unused:
            to_remove.append(cache)
            continue
        # A cache over quota counts too: otherwise an older one would be kept instead of it.
        of_tenant[cache.tenant] += size
        is_within = of_tenant[cache.tenant] <= min(quota.tenant_bytes, tenants[cache.tenant])
        total += size if is_within else 0
        if not is_within or total > quota.total_bytes:
            to_remove.append(cache)
    return to_remove


async def ensure(engine: Engine, tenant: UserId, place: int) -> Cache:
    """Return the cache of a tenant's place; make it where it is missing. Raises `EngineUnavailable`."""
    name = engine.labels.cache_name(tenant, place)
    body = {"Name": name, "Labels": engine.labels.cache_volume(tenant, place)}
    volume = await engine.request("POST", "volumes/create", body=body)
    if not engine.labels.owns_volume(name, volume.get("Labels") or {}):
        raise EngineRefused(0, f"the volume {name} exists and is not ours")
    cache = await _cache(volume)
    await give_to_user(cache)
    return cache


async def give_to_user(cache: Cache) -> None:
    """Make the cache its user's own. One of an earlier release, whose builds had one user for all, is emptied."""
    if not await asyncio.to_thread(_belongs_to_user, cache):
        await remove_files(cache.folder)
        await asyncio.to_thread(os.chown, cache.folder, cache.user.uid, cache.user.uid)
    await asyncio.to_thread(cache.user.write_files, cache.names)


async def list_all(engine: Engine) -> list[Cache]:
    """Return the caches of this installation, the most recently used first."""
    filters = engine.labels.object_filter()
    filters["label"].append(f"{keys.ROLE}={Role.BUILD_CACHE}")
    answer = await engine.request("GET", "volumes", params={"filters": json.dumps(filters)})
    volumes = [
        volume
        for volume in answer.get("Volumes") or []
        if engine.labels.owns_volume(volume["Name"], volume.get("Labels") or {})
    ]
    caches = await asyncio.gather(*(_cache(volume) for volume in volumes))
    return sorted(caches, key=lambda cache: cache.used_at, reverse=True)


async def remove(engine: Engine, cache: Cache) -> bool:
    """Remove a cache. The caller ensures that no build begins in it. False when a container uses it; absent is success.

    A process of its own removes the files first: while the engine removes a volume, all other requests for volumes
    wait, and a build can leave a million files. Raises `EngineUnavailable`.
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
    """Remove the files in a folder, as far as possible. They are renamed first: after a cancellation, no build begins
    with half a cache."""
    await asyncio.to_thread(_rename_for_removal, folder)
    await finish_removal(folder)


async def finish_removal(folder: Path) -> None:
    """Remove the files that `remove_files` renamed, as far as possible."""
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
    """Return the renamed files of a cache that still exist: removal takes minutes and can be interrupted. Blocks."""
    with suppress(FileNotFoundError):
        return [entry for entry in folder.iterdir() if entry.name.startswith(REMOVED_PREFIX)]
    return []


def _rename_for_removal(folder: Path) -> None:
    with suppress(FileNotFoundError):
        for entry in list(folder.iterdir()):
            if not entry.name.startswith(REMOVED_PREFIX):
                entry.rename(folder / f"{REMOVED_PREFIX}{uuid4().hex}")


async def remove_build_remains(cache: Cache) -> None:
    """Remove the secrets and credentials of a build that has ended, and its image, which the engine has by now."""
    await asyncio.to_thread(_remove_folder, _CONTROL, cache.folder, WORK)
    with suppress(OSError):  # the next build removes what can't be removed now
        await asyncio.to_thread(_remove_folder, OUT, cache.folder)


def _remove_folder(name: str, *parents: Path | str) -> None:
    """Remove a folder below its nested `parents`. A link that a build made is not followed."""
    with ExitStack() as files, suppress(FileNotFoundError, NotADirectoryError):
        parent = None
        for path in parents:
            parent = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            files.callback(os.close, parent)
        shutil.rmtree(name, dir_fd=parent)


async def _cache(volume: dict[str, Any]) -> Cache:
    folder = Path(volume["Mountpoint"])
    tenant = UserId(UUID(volume["Labels"][keys.TENANT]))
    place = int(volume["Labels"][keys.PLACE])
    return Cache(volume["Name"], tenant, place, folder, await asyncio.to_thread(_used_at, folder))


def _belongs_to_user(cache: Cache) -> bool:
    return cache.folder.stat().st_uid == cache.user.uid


def _used_at(folder: Path) -> datetime:
    """Return the start of the last build in the cache, or the time when it was made."""
    for path in (folder / WORK, folder):
        try:
            return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
        except OSError:
            continue
    return datetime.fromtimestamp(0, UTC)
