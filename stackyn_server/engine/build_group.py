"""A control group of its own for each build: the only process limit that the classic builder obeys, and the only proof
of which containers and processes are the build's.

With the cgroupfs driver the group is a directory that we make; with systemd it is a slice that systemd makes for us.
Where we may do neither (no root), builds run in a group of the engine's making, without the process limit.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from stackyn_server.domain.ids import DeploymentId
from stackyn_server.engine.client import Engine

ROOT = Path("/sys/fs/cgroup")
_CONTAINER = re.compile(r"(?:docker-)?([0-9a-f]{64})(?:\.scope)?")
_LOOK_SECONDS = 0.05  # control groups of version 1 announce nothing, so they are looked at

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BuildGroup:
    """`parent` is what the engine is told; `directories` where the group is, one for each hierarchy."""

    parent: str
    directories: tuple[Path, ...]

    async def containers(self) -> set[str]:
        """Return the ids of the containers that are in the group now."""
        return await asyncio.to_thread(_containers, self.directories)

    async def ran_out_of_memory(self) -> bool:
        """Say whether the kernel killed something in the group for memory. Version 2 counts it for the group and all
        below it; where it can't be read the answer is no."""
        return await asyncio.to_thread(_killed_for_memory, self.directories)

    async def empty_within(self, seconds: float) -> bool:
        """Wait until no process of the build is left. False when some still run after `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        async for _ in _looks():
            if not await asyncio.to_thread(_processes, self.directories):
                return True
            if asyncio.get_running_loop().time() >= deadline:
                break
        return False


async def _looks() -> AsyncIterator[None]:
    while True:
        yield
        await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def build_group(
    engine: Engine, deployment: DeploymentId, max_processes: int
) -> AsyncIterator[BuildGroup]:
    """Hold the group of a deployment's build, limited to `max_processes` processes and threads where possible."""
    group = await asyncio.to_thread(_group, engine, deployment)
    by_systemd = engine.facts.cgroup_driver == "systemd"
    try:
        if by_systemd:
            await _start_slice(group.parent, max_processes)
        else:
            await asyncio.to_thread(_make, engine.cgroup_version, group, max_processes)
    except OSError as error:
        log.warning("build.processes_unlimited", reason=str(error), deployment=deployment)
    try:
        yield group
    finally:
        if by_systemd:
            with suppress(OSError):
                await _systemctl("stop", group.parent)
        await asyncio.to_thread(_remove, group.directories)


async def tidy(engine: Engine) -> None:
    """Remove the groups that builds left which were cut short; at start or for uninstalling, never during a build."""
    own = f"stackyn-{engine.labels.short}"
    if engine.facts.cgroup_driver == "systemd":
        with suppress(OSError):
            await _systemctl("stop", f"{own}.slice")
        return
    directories = await asyncio.to_thread(_directories, engine.cgroup_version, Path(own))
    await asyncio.to_thread(_remove, directories)


def _group(engine: Engine, deployment: DeploymentId) -> BuildGroup:
    own = f"stackyn-{engine.labels.short}"
    if engine.facts.cgroup_driver == "systemd":
        parent = f"{own}-d{deployment}.slice"  # each dash is a level of slices
        path = Path("stackyn.slice") / f"{own}.slice" / parent
    else:
        parent = f"/{own}/d{deployment}"
        path = Path(own) / f"d{deployment}"
    return BuildGroup(parent, _directories(engine.cgroup_version, path))


def _directories(version: int, path: Path) -> tuple[Path, ...]:
    """Return where the group `path` is: in the one hierarchy of version 2, in each of version 1."""
    if version == 2:
        return (ROOT / path,)
    hierarchies = sorted(entry for entry in ROOT.iterdir() if entry.is_dir() and not entry.is_symlink())
    return tuple(hierarchy / path for hierarchy in hierarchies)


def _make(version: int, group: BuildGroup, max_processes: int) -> None:
    if version == 2:
        (directory,) = group.directories
        for above in (directory.parent.parent, directory.parent):
            above.mkdir(exist_ok=True)
            (above / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    else:
        directory = next(one for one in group.directories if one.is_relative_to(ROOT / "pids"))
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pids.max").write_text(str(max_processes))


async def _start_slice(name: str, max_processes: int) -> None:
    """Have systemd make a slice that is gone when it is stopped. Raises OSError."""
    await _run(
        *("busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"),
        *("org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))"),
        *(name, "replace", "1", "TasksMax", "t", str(max_processes), "0"),
    )


async def _systemctl(*arguments: str) -> None:
    await _run("systemctl", *arguments)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    if process.returncode:
        raise OSError(f"{command[0]}: {complaint.decode('utf-8', 'replace').strip()}")


def _processes(directories: tuple[Path, ...]) -> list[int]:
    """All hierarchies show the same processes; the first one that exists is enough."""
    for directory in directories:
        if directory.is_dir():
            found: list[int] = []
            for member in _members(directory):
                with suppress(OSError):
                    found += [int(line) for line in (member / "cgroup.procs").read_text().split()]
            return found
    return []


def _members(directory: Path) -> list[Path]:
    """Return the group and all below it, each before its own. One that vanishes meanwhile was empty and is left out:
    `os.walk` passes over it, where `Path.rglob` raises."""
    return [Path(member) for member, _, _ in os.walk(directory)]


def _containers(directories: tuple[Path, ...]) -> set[str]:
    found = set()
    for directory in directories:
        with suppress(OSError):
            found |= {
                match[1] for entry in directory.iterdir() if (match := _CONTAINER.fullmatch(entry.name))
            }
    return found


def _killed_for_memory(directories: tuple[Path, ...]) -> bool:
    for directory in directories:
        with suppress(OSError):
            counts = dict(line.split() for line in (directory / "memory.events").read_text().splitlines())
            return int(counts.get("oom_kill", 0)) > 0
    return False


def _remove(directories: tuple[Path, ...]) -> None:
    """Remove the group's directories, bottom up. One with processes stays; rmdir refuses it."""
    for directory in directories:
        for member in reversed(_members(directory)):
            with suppress(OSError):
                member.rmdir()
