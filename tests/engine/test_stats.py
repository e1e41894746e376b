"""What a container uses: on this machine, and from the engine's answers with both versions of control groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from stackyn_server.engine import containers, control_groups, stats
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.control_groups import ContainerUsage
from tests.engine.parts import eventually

Spec = Callable[..., ContainerSpec]
MIB = 1024 * 1024

# Shortened from answers of 20.10 (cgroupfs, version 1) and of 28.5 (systemd, version 2; null figures as there).
FIRST = {
    "memory_stats": {"usage": 9_000_000, "limit": 33_554_432, "stats": {"total_inactive_file": 1_000_000}},
    "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000, "percpu_usage": [1]}},
    "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 20}},
}
SECOND = {
    "memory_stats": {"usage": 9_000_000, "limit": 33_554_432, "stats": {"inactive_file": 2_000_000}},
    "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}, "online_cpus": 2},
    "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 20}},
}


async def test_control_group_and_engine_say_the_same(engine: Engine, spec: Spec) -> None:
    container = await containers.start(
        engine, spec(command="dd if=/dev/zero of=/dev/null bs=1M", memory_mb=32)
    )

    async def uses_the_processor() -> bool:
        usage = await stats.usage_by_engine(engine, container)
        return usage is not None and usage.cpu_seconds_total > 0

    await eventually(uses_the_processor, True)
    before = await stats.usage_by_engine(engine, container)
    read = await asyncio.to_thread(control_groups.read_usage, container)
    after = await stats.usage_by_engine(engine, container)
    assert before is not None and read is not None and after is not None
    assert before.cpu_seconds_total <= read.cpu_seconds_total <= after.cpu_seconds_total
    assert before.received_bytes <= read.received_bytes <= after.received_bytes
    assert before.sent_bytes <= read.sent_bytes <= after.sent_bytes
    assert abs(read.memory_bytes - after.memory_bytes) < 2 * MIB, "dd holds a block of 1 MiB, or none"


async def test_a_container_that_does_not_run_has_no_sample(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec())
    await containers.stop(engine, container, 0)

    assert await stats.usage(engine, container) is None
    assert await stats.usage(engine, "no-such-container") is None


@pytest.mark.parametrize(("answer", "memory"), [(FIRST, 8_000_000), (SECOND, 7_000_000)], ids=["v1", "v2"])
def test_both_kinds_of_control_groups_are_read(answer: dict[str, Any], memory: int) -> None:
    assert stats.parse_stats(answer) == ContainerUsage(memory, 1.5, 10, 20)


@pytest.mark.parametrize("missing", ["cpu_stats", "networks"])
def test_a_missing_member_counts_as_nothing(missing: str) -> None:
    assert stats.parse_stats({key: value for key, value in FIRST.items() if key != missing}) is not None
    assert stats.parse_stats({**FIRST, missing: None}) is not None


def test_stats_without_memory_mean_a_stopped_container() -> None:
    assert stats.parse_stats({**FIRST, "memory_stats": {}}) is None
