"""How a release takes over, by the memory that there is. All numbers in MiB."""

from __future__ import annotations

import pytest

from stackyn_server.domain.memory import RolloutChoice, build_mb, choose_strategy
from stackyn_server.engine.host_memory import parse

RESERVE = 100


@pytest.mark.parametrize(
    ("available", "needed_mb", "serving", "way"),
    [
        (356, 256, None, RolloutChoice.SIDE_BY_SIDE),
        (355, 256, None, RolloutChoice.WAIT),
        (356, 256, 256, RolloutChoice.SIDE_BY_SIDE),
        (355, 256, 256, RolloutChoice.IN_PLACE),
        (0, 256, 256, RolloutChoice.IN_PLACE),
        (0, 128, 256, RolloutChoice.IN_PLACE),
        (0, 257, 256, RolloutChoice.WAIT),
        (199, 356, 256, RolloutChoice.WAIT),
        (200, 356, 256, RolloutChoice.IN_PLACE),
    ],
)
def test_strategy_depends_on_free_memory(
    available: int, needed_mb: int, serving: int | None, way: RolloutChoice
) -> None:
    assert choose_strategy(available, RESERVE, needed_mb, serving, may_hold=True) is way


def test_a_release_waits_for_memory_without_held_requests() -> None:
    assert choose_strategy(355, RESERVE, 256, 256, may_hold=False) is RolloutChoice.WAIT
    assert choose_strategy(356, RESERVE, 256, 256, may_hold=False) is RolloutChoice.SIDE_BY_SIDE


@pytest.mark.parametrize(
    ("asked", "plan", "machine", "given"),
    [
        (None, 4096, 9000, 1024),
        (2048, 4096, 9000, 2048),
        (8192, 4096, 9000, 4096),
        (8192, 9999, 3000, 3000),
        (512, 4096, 9000, 512),
        (2048, 512, 600, 1024),
    ],
)
def test_build_gets_what_plan_and_machine_allow(
    asked: int | None, plan: int, machine: int, given: int
) -> None:
    assert build_mb(asked, 1024, plan, machine) == given


def test_available_memory_is_read_as_the_kernel_says_it() -> None:
    assert parse("MemTotal:       8388608 kB\nMemFree:  1 kB\nMemAvailable:    2097663 kB\n") == 2048
    with pytest.raises(ValueError, match="does not say"):
        parse("MemTotal: 1 kB\n")
