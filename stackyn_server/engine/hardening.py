"""The limits, rights and log settings that every container of ours gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MEBIBYTE = 1024 * 1024
NANO = 1_000_000_000

# One page. With 0, runc passes no swap limit to systemd, and the next `systemctl daemon-reload` removes the limit that
# runc wrote itself (cgroup v2, seen on a fresh server; with one page the limit stayed).
SWAP_BYTES = 4096

# The engine's own copy of a container's output; the history for tenants is in the database.
LOG_FILES = 2
LOG_FILE_SIZE = "10m"


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """Units: MiB, cores, processes and threads together."""

    memory_mb: int
    cpu: float
    max_processes: int

    @property
    def memory_bytes(self) -> int:
        return self.memory_mb * MEBIBYTE

    @property
    def memory_and_swap_bytes(self) -> int:
        return self.memory_bytes + SWAP_BYTES


def host_config(
    limits: ContainerLimits, *, capabilities: tuple[str, ...] = (), read_only: bool = False
) -> dict[str, Any]:
    """Return the `HostConfig` members that every container gets, app or ingress."""
    return {
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_and_swap_bytes,
        "NanoCpus": int(limits.cpu * NANO),
        "PidsLimit": limits.max_processes,
        # A core dump holds the environment, and the kernel may hand it to a program of this machine that keeps it.
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "CapDrop": ["ALL"],
        "CapAdd": list(capabilities),
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": read_only,
        "Privileged": False,
        "IpcMode": "private",
        "Init": True,  # reaps zombies, and passes SIGTERM on to a program that is not written to be pid 1
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": LOG_FILE_SIZE, "max-file": str(LOG_FILES)},
        },
    }
