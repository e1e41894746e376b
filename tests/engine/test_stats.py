"""What a container uses: from the real engine, and from answers of both kinds of control groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stackyn_server.engine import containers, stats
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from tests.engine.parts import eventually

Spec = Callable[..., ContainerSpec]

# Shortened from answers of 20.10 (cgroupfs, version 1) and of 28.5 (systemd, version 2; null figures as there).
FIRST = {
    "memory_stats": {"usage": 9_000_000, "limit": 33_554_432, "stats": {"total_inactive_file": 1_000_000}},
    "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000, "percpu_usage": [1]}},
    "pids_stats": {"current": 3},
    "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 20}},
    "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 7}, {"op": "Write", "value": 8}]},
}
SECOND = {
    "memory_stats": {"usage": 9_000_000, "limit": 33_554_432, "stats": {"inactive_file": 2_000_000}},
    "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}, "online_cpus": 2},
    "pids_stats": {"current": 3, "limit": 64},
    "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 20}},
    "blkio_stats": {"io_service_bytes_recursive": None},
}


async def test_a_running_container_uses_something(engine: Engine, spec: Spec) -> None:
    container = await containers.start(
        engine, spec(command="dd if=/dev/zero of=/dev/null bs=1M", memory_mb=32)
    )

    async def uses_the_processor() -> bool:
        sample = await stats.sample(engine, container)
        return sample is not None and sample.cpu_seconds_total > 0

    await eventually(uses_the_processor, True)
    sample = await stats.sample(engine, container)
    assert sample is not None
    assert 0 < sample.memory_bytes < sample.memory_limit_bytes == 32 * 1024 * 1024
    assert sample.processes >= 1


async def test_a_container_that_does_not_run_has_no_sample(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec())
    await containers.stop(engine, container, 0)

    assert await stats.sample(engine, container) is None
    assert await stats.sample(engine, "no-such-container") is None


@pytest.mark.parametrize(
    ("answer", "memory", "disk"), [(FIRST, 8_000_000, (7, 8)), (SECOND, 7_000_000, (0, 0))], ids=["v1", "v2"]
)
def test_both_kinds_of_control_groups_are_read(
    answer: dict[str, Any], memory: int, disk: tuple[int, int]
) -> None:
    sample = stats.parse_stats(answer)

    assert sample is not None
    assert sample.memory_bytes == memory
    assert (sample.read_bytes, sample.written_bytes) == disk
    assert (sample.cpu_seconds_total, sample.processes) == (1.5, 3)
    assert (sample.received_bytes, sample.sent_bytes) == (10, 20)


@pytest.mark.parametrize("missing", ["cpu_stats", "pids_stats", "networks", "blkio_stats"])
def test_a_missing_member_counts_as_nothing(missing: str) -> None:
    assert stats.parse_stats({key: value for key, value in FIRST.items() if key != missing}) is not None
    assert stats.parse_stats({**FIRST, missing: None}) is not None


def test_stats_without_memory_mean_a_stopped_container() -> None:
    assert stats.parse_stats({**FIRST, "memory_stats": {}}) is None
