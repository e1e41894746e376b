"""Measure what a container uses now, with one request. aiodocker's own method takes two readings and two seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stackyn_server.engine.client import Engine
from stackyn_server.engine.timestamps import NANOSECONDS


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory is without the page cache that the kernel can drop at once. Totals count from the container's start, so a
    rate needs two samples. Network and disk are in bytes."""

    memory_bytes: int
    memory_limit_bytes: int
    cpu_seconds_total: float
    processes: int
    received_bytes: int
    sent_bytes: int
    read_bytes: int
    written_bytes: int


async def sample(engine: Engine, container: str) -> Sample | None:
    """Return the usage of a running container; None when it is absent or doesn't run.

    Takes milliseconds on a current engine and a second on 20.10. Raises `EngineUnavailable`.
    """
    parameters = {"stream": "false", "one-shot": "true"}
    answer = await engine.request_or_none("GET", f"containers/{container}/stats", params=parameters)
    return None if answer is None else parse_stats(answer)


def parse_stats(stats: Mapping[str, Any]) -> Sample | None:
    """Read the engine's answer. Members can be missing or null, and their names depend on the version of cgroups."""
    memory = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    cache = int(details.get("total_inactive_file", details.get("inactive_file", 0)))
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    networks = (stats.get("networks") or {}).values()
    disk = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    return Sample(
        memory_bytes=max(0, int(memory["usage"]) - cache),
        memory_limit_bytes=int(memory.get("limit") or 0),
        cpu_seconds_total=int(cpu.get("total_usage") or 0) / NANOSECONDS,
        processes=int((stats.get("pids_stats") or {}).get("current") or 0),
        received_bytes=sum(int(network.get("rx_bytes") or 0) for network in networks),
        sent_bytes=sum(int(network.get("tx_bytes") or 0) for network in networks),
        read_bytes=_disk_bytes(disk, "read"),
        written_bytes=_disk_bytes(disk, "write"),
    )


def _disk_bytes(entries: Iterable[Mapping[str, Any]], operation: str) -> int:
    """`op` is `Read` on version 1 and `read` on version 2 of control groups."""
    return sum(
        int(entry.get("value") or 0) for entry in entries if str(entry.get("op", "")).lower() == operation
    )
