"""A build that takes more than a build may is ended at its own limit, with the reason.

On the disk nothing in the kernel stops it: what it takes is measured, and by how much it passed its limit is printed.

Each step also runs with a limit that it keeps, and succeeds: nothing else ended it. `tests/bench/engine` has the bombs
that pass the limits of the defaults, and asserts how soon each bomb has ended.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stackyn_server import config
from stackyn_server.domain.failures import FailureCode
from stackyn_server.engine import containers
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.client import Engine
from stackyn_server.engine.labels import Role
from tests.engine.hostile_builds.attack import Make, Result, run

MIB = 1024**2
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Bomb:
    """`limit` is the name of a setting of builds: `sealed` ends the step, `opened` lets it succeed."""

    step: str
    limit: str
    sealed: int
    opened: int
    code: FailureCode
    words: str
    options: str = ""


@dataclass(slots=True)
class Taken:
    """What a file system lost at most, in bytes and files, and when `most_bytes` and `most_files` were passed."""

    most_bytes: float
    most_files: float
    bytes: int = 0
    files: int = 0
    passed_at: float = 0.0


def many_files(count: int, size: int) -> str:
    """A step that makes files as fast as one process can, and removes them should it get that far."""
    return (
        f'mkdir /many && busybox awk \'BEGIN {{ text = sprintf("%{size}s", ""); for (i = 0; i < {count}; i++) '
        '{ name = "/many/" i; printf "%s", text > name; close(name) } }\' '
        "&& sleep 2 && busybox rm -r /many"
    )


def one_file(mebibytes: int) -> str:
    return f"dd if=/dev/zero of=/big bs=1048576 count={mebibytes} && sleep 2 && busybox rm /big"


DISK = FailureCode.BUILD_DISK
MEMORY = Bomb(
    "dd if=/dev/zero of=/dev/null bs=300M count=1",
    *("memory_mb", 256, 768, FailureCode.BUILD_OUT_OF_MEMORY, "more memory than builds are allowed"),
)
BOMBS = {
    "memory": MEMORY,
    "memory, with a mount": replace(MEMORY, options="--mount=type=cache,target=/cache "),
    "processes": Bomb(
        "i=0; while [ $i -lt 300 ]; do sleep 9 & i=$((i+1)); done; echo all of them",
        *(
            "max_processes",
            128,
            1000,
            FailureCode.BUILD_FAILED,
            "more processes and threads at once than it may",
        ),
    ),
    "one large file": Bomb(one_file(200), "disk_mb", 100, 4000, DISK, "100 MiB"),
    "many files": Bomb(many_files(6000, 1), "max_files", 3000, 100_000, DISK, "3000 files"),
}
OF_REQUEST = ("memory_mb", "max_processes")
FAST = ("memory", "one large file")


@dataclass(frozen=True, slots=True)
class BombRunner:
    """Explodes bombs, and prints what they did."""

    engine: Engine
    base: str
    settings: config.Settings
    make: Make
    capsys: pytest.CaptureFixture[str]

    async def explode(self, bomb: Bomb, value: int) -> tuple[Result, Taken]:
        changes = {} if bomb.limit in OF_REQUEST else {bomb.limit: value}
        builds = self.settings.builds.model_copy(update=changes)
        settings = self.settings.model_copy(update={"builds": builds})
        request = self.make(**({bomb.limit: value} if bomb.limit in OF_REQUEST else {}))
        builder = Builder(self.engine, settings, RegistryAvailability(settings))
        async with watched(self.engine.facts.root, builds) as taken:
            result = await run(builder, request, f"FROM {self.base}\nRUN {bomb.options}{bomb.step}\n")
            ended_at = time.monotonic()
        if taken.passed_at:
            taken.passed_at = ended_at - taken.passed_at
        return result, taken

    async def defuse(self, name: str, bomb: Bomb) -> float:
        """Run the bomb sealed and open, and check both. Return the seconds after which its limit ended it."""
        sealed, taken = await self.explode(bomb, bomb.sealed)
        assert await containers.list_of_role(self.engine, Role.BUILDER) == []
        opened, _ = await self.explode(bomb, bomb.opened)
        summary = f"{name}: ended after {sealed.seconds:.1f} s"
        if bomb.code is FailureCode.BUILD_DISK:
            beyond = f"{(taken.bytes - taken.most_bytes) / MIB:.0f} MiB"
            if bomb.limit == "max_files":
                beyond = f"{taken.files - taken.most_files} files"
            summary += f", {taken.passed_at:.1f} s after its limit; overshoot {beyond}"
        with self.capsys.disabled():
            print(f"\n{summary}; without the limit done in {opened.seconds:.1f} s")

        assert sealed.error is not None and sealed.error.failure.code is bomb.code, sealed.error
        assert bomb.words in sealed.error.message
        assert opened.error is None, opened.error
        return taken.passed_at or sealed.seconds


@asynccontextmanager
async def watched(folder: Path, limits: config.BuildsSettings) -> AsyncIterator[Taken]:
    """Note what the file system of `folder` loses until the block is left; others may use it too."""
    before = os.statvfs(folder)
    room = before.f_bavail * before.f_frsize - limits.free_disk_mb * MIB
    taken = Taken(min(limits.disk_mb * MIB, room), limits.max_files)

    async def watch() -> None:
        while True:
            now = os.statvfs(folder)
            taken.bytes = max(taken.bytes, (before.f_bfree - now.f_bfree) * now.f_frsize)
            taken.files = max(taken.files, before.f_ffree - now.f_ffree)
            if not taken.passed_at and (taken.bytes > taken.most_bytes or taken.files > taken.most_files):
                taken.passed_at = time.monotonic()
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch(), name="disk")
    try:
        yield taken
    finally:
        watching.cancel()


@pytest.fixture
def bombs(
    engine: Engine,
    base_image: str,
    build_settings: config.Settings,
    build_request: Make,
    capsys: pytest.CaptureFixture[str],
) -> BombRunner:
    return BombRunner(engine, base_image, build_settings, build_request, capsys)


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.full) for name in BOMBS if name not in FAST)]
)
async def test_build_ends_at_its_own_limit(bombs: BombRunner, name: str) -> None:
    await bombs.defuse(name, BOMBS[name])


@pytest.mark.full
async def test_build_ends_when_the_disk_is_nearly_full(bombs: BombRunner) -> None:
    free_mb = shutil.disk_usage(bombs.engine.facts.root).free // MIB
    bomb = Bomb(one_file(400), "free_disk_mb", free_mb - 150, 64, DISK, "the server's disk is full")

    await bombs.defuse("nearly full disk", bomb)
