"""What a figure was measured on: it means nothing without."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from tests.server_process import docker

GIB_IN_KIB = 1024**2


async def machine() -> str:
    """Return one line: processor, memory, system, kernel, engine."""
    cpu = _value("/proc/cpuinfo", "model name", ":") or platform.machine()
    memory = round(int(_value("/proc/meminfo", "MemTotal", ":").split()[0]) / GIB_IN_KIB)
    system = _value("/etc/os-release", "PRETTY_NAME", "=").strip('"')
    engine = (await docker("version", "--format", "{{.Server.Version}}")).strip()
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({cpu}), {memory} GiB, {system}, Linux {platform.release()}, "
        f"Docker {engine}; load {load:.1f} before"
    )


def _value(path: str, key: str, separator: str) -> str:
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(separator)
        if name.strip() == key:
            return value.strip()
    return ""
