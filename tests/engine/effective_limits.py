"""The limits that the kernel really keeps for a container, read from its control group: what the engine answers is only
what it was asked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine

ROOT = Path("/sys/fs/cgroup")
_LARGEST_LIMIT = 2**62  # version 1 says "none" as a number near 2**63, rounded to pages


@dataclass(frozen=True, slots=True)
class EffectiveLimits:
    """None means no limit. `memory_and_swap_bytes` is both together, None also where the kernel doesn't account swap;
    `cpu` in cores."""

    memory_bytes: int | None
    memory_and_swap_bytes: int | None
    max_processes: int | None
    cpu: float | None


async def read_limits(engine: Engine, container: str) -> EffectiveLimits | None:
    """Return what applies to a running container of ours; None when it doesn't run."""
    state = await containers.inspect(engine, container)
    if state is None or not state.pid:
        return None
    return await asyncio.to_thread(_of_process, state.pid)


def _of_process(pid: int) -> EffectiveLimits | None:
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    groups = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path.lstrip("/")
    return _first_version(groups) if "memory" in groups else _second_version(ROOT / groups[""])


def _first_version(groups: dict[str, str]) -> EffectiveLimits:
    memory = ROOT / "memory" / groups["memory"]
    cpu = ROOT / "cpu" / groups["cpu"]
    quota = _number(cpu / "cpu.cfs_quota_us")
    period = _number(cpu / "cpu.cfs_period_us")
    return EffectiveLimits(
        memory_bytes=_number(memory / "memory.limit_in_bytes"),
        memory_and_swap_bytes=_number(memory / "memory.memsw.limit_in_bytes"),
        max_processes=_number(ROOT / "pids" / groups["pids"] / "pids.max"),
        cpu=quota / period if quota and quota > 0 and period else None,
    )


def _second_version(group: Path) -> EffectiveLimits:
    memory, swap = _number(group / "memory.max"), _number(group / "memory.swap.max")
    quota, _, period = _text(group / "cpu.max").partition(" ")
    return EffectiveLimits(
        memory_bytes=memory,
        memory_and_swap_bytes=memory + swap if memory is not None and swap is not None else None,
        max_processes=_number(group / "pids.max"),
        cpu=int(quota) / int(period) if quota.isdecimal() and period else None,
    )


def _number(file: Path) -> int | None:
    text = _text(file)
    if text in ("", "max"):
        return None
    number = int(text)
    return number if number < _LARGEST_LIMIT else None


def _text(file: Path) -> str:
    """A file that isn't there belongs to a controller that this kernel doesn't have."""
    try:
        return file.read_text("ascii").strip()
    except FileNotFoundError:
        return ""
