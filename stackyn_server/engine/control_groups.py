"""Read what a container uses from its control group. The kernel's files need no engine and take microseconds.

Both versions are read: 1 has a hierarchy for each controller, 2 has one for all
(https://docs.kernel.org/admin-guide/cgroup-v2.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackyn_server.engine.timestamps import NANOSECONDS

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_PROCESSES = Path("/proc")
_MICROSECONDS = 1_000_000
_NET_DEV_HEADER_LINES = 2
_SENT_COLUMN = 8  # of /proc/<pid>/net/dev, counted from the received bytes


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """Memory is without the page cache that the kernel can drop at once. Totals count from the container's start, so a
    rate needs two measurements."""

    memory_bytes: int
    cpu_seconds_total: float
    received_bytes: int
    sent_bytes: int


def read_usage(
    container: str, *, root: Path = _CONTROL_GROUPS, processes: Path = _PROCESSES
) -> ContainerUsage | None:
    """Return the usage of the running container with this id. Blocks for microseconds.

    None when it has no control group in a usual place: it doesn't run, or the engine has a parent group of its own.
    """
    # The places of the engine's two drivers, cgroupfs and systemd.
    for place in (f"docker/{container}", f"system.slice/docker-{container}.scope"):
        try:
            if (root / "cgroup.controllers").exists():
                return _read_version_2(root / place, processes)
            return _read_version_1(root, place, processes)
        except (OSError, ValueError, LookupError):  # it ended meanwhile, or it is elsewhere
            continue
    return None


def _read_version_1(root: Path, place: str, processes: Path) -> ContainerUsage:
    memory = root / "memory" / place
    received, sent = _network(memory, processes)
    return ContainerUsage(
        memory_bytes=_without_cache(memory / "memory.usage_in_bytes", memory, "total_inactive_file"),
        cpu_seconds_total=_number(root / "cpuacct" / place / "cpuacct.usage") / NANOSECONDS,
        received_bytes=received,
        sent_bytes=sent,
    )


def _read_version_2(group: Path, processes: Path) -> ContainerUsage:
    received, sent = _network(group, processes)
    return ContainerUsage(
        memory_bytes=_without_cache(group / "memory.current", group, "inactive_file"),
        cpu_seconds_total=_table(group / "cpu.stat")["usage_usec"] / _MICROSECONDS,
        received_bytes=received,
        sent_bytes=sent,
    )


def _without_cache(used: Path, memory: Path, cache: str) -> int:
    return max(0, _number(used) - _table(memory / "memory.stat")[cache])


def _network(group: Path, processes: Path) -> tuple[int, int]:
    """Return the bytes that came in and went out, of all interfaces but the loopback."""
    process, *_ = (group / "cgroup.procs").read_text().split()
    received = sent = 0
    for line in (processes / process / "net/dev").read_text().splitlines()[_NET_DEV_HEADER_LINES:]:
        name, _, counters = line.partition(":")
        if name.strip() != "lo":
            columns = counters.split()
            received, sent = received + int(columns[0]), sent + int(columns[_SENT_COLUMN])
    return received, sent


def _number(path: Path) -> int:
    return int(path.read_text())


def _table(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}
