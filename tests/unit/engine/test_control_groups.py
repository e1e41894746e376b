"""What a container uses, read from trees as kernels with both versions of control groups show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackyn_server.engine.control_groups import ContainerUsage, read_usage

CONTAINER = "63cf6c31e8cb"
CGROUPFS, SYSTEMD = f"docker/{CONTAINER}", f"system.slice/docker-{CONTAINER}.scope"
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    5000      50    0    0    0     0          0         0     5000      50    0    0    0     0       0          0
  eth0:    1156      14    0    0    0     0          0         0      840      10    0    0    0     0       0          0
  eth1:     100       1    0    0    0     0          0         0        7       1    0    0    0     0       0          0
"""  # noqa: E501 as the kernel writes it

# Shortened from the files of a container: Linux 6.18 with version 1, and 6.1 with version 2.
VERSION_1 = {
    "memory/{place}/memory.usage_in_bytes": "140791808\n",
    "memory/{place}/memory.stat": "cache 30000000\ninactive_file 1\ntotal_inactive_file 1814528\n",
    "memory/{place}/cgroup.procs": "1520\n1566\n",
    "cpuacct/{place}/cpuacct.usage": "118567710540\n",
}
VERSION_2 = {
    "cgroup.controllers": "cpuset cpu io memory pids\n",
    "{place}/memory.current": "140791808\n",
    "{place}/memory.stat": "anon 120000000\nfile 3000000\ninactive_file 1814528\n",
    "{place}/cpu.stat": "usage_usec 118567710\nuser_usec 100000000\nsystem_usec 18567710\nnr_periods 0\n",
    "{place}/cgroup.procs": "1520\n1566\n",
}


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def usage_of(folder: Path, files: dict[str, str], place: str) -> ContainerUsage | None:
    write(folder / "groups", {name.format(place=place): content for name, content in files.items()})
    write(folder / "processes", {"1520/net/dev": NET_DEV})
    return read_usage(CONTAINER, root=folder / "groups", processes=folder / "processes")


@pytest.mark.parametrize("place", [CGROUPFS, SYSTEMD])
@pytest.mark.parametrize("files", [VERSION_1, VERSION_2], ids=["version 1", "version 2"])
def test_usage_is_read_from_both_versions(tmp_path: Path, files: dict[str, str], place: str) -> None:
    usage = usage_of(tmp_path, files, place)

    assert usage is not None
    assert usage.memory_bytes == 140791808 - 1814528, "the cache that can be dropped doesn't count"
    assert usage.cpu_seconds_total == pytest.approx(118.56771)
    assert (usage.received_bytes, usage.sent_bytes) == (1256, 847), "without the loopback"


@pytest.mark.parametrize("files", [VERSION_1, VERSION_2], ids=["version 1", "version 2"])
@pytest.mark.parametrize("damage", ["nothing there", "elsewhere", "no process", "no file", "no number"])
def test_unreadable_group_is_left_to_the_engine(tmp_path: Path, files: dict[str, str], damage: str) -> None:
    place = "kubepods/other" if damage == "elsewhere" else CGROUPFS
    damaged = {} if damage == "nothing there" else dict(files)
    for name in files:
        if damage == "no process" and name.endswith("cgroup.procs"):
            damaged[name] = ""
        if damage == "no file" and "cpu" in name:
            damaged.pop(name)
        if damage == "no number" and name.endswith("memory.stat"):
            damaged[name] = "slab 12\n"

    assert usage_of(tmp_path, damaged, place) is None
