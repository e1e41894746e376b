"""A build that would go on for ever is ended from outside, at once, whatever it does.

Without a deadline each goes on to its own end. What its tenant reads is shown in `tests/e2e/test_deadlines.py`.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.engine import containers
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.client import Engine
from stackyn_server.engine.labels import Role
from tests.engine.building import context
from tests.engine.hostile_builds.attack import Make, run
from tests.loop import longest_wait

DEADLINE_SECONDS = 3
GONE_SECONDS = 2
BUSY_MACHINE_SECONDS = 0.5
FORK_BOMB = (
    "bomb() { bomb | bomb & }; bomb & exec sleep 5"  # forks once itself: soon there is no room for more
)
FULL = pytest.mark.full


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("busybox timeout 5 yes sixteen-and-more; true", id="endless output"),
        pytest.param("sleep 5", id="sleep", marks=FULL),
        pytest.param("busybox timeout 5 sh -c 'while :; do :; done'; true", id="busy loop", marks=FULL),
    ],
)
async def test_deadline_ends_any_build(
    engine: Engine, base_image: str, builder: Builder, build_request: Make, step: str
) -> None:
    dockerfile = f"FROM {base_image}\nRUN {step}\n"
    lines = 0

    def count(_: str) -> None:
        nonlocal lines
        lines += 1

    began = time.monotonic()
    async with longest_wait() as waited:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(DEADLINE_SECONDS):
                await builder.build(build_request(), context(dockerfile), count)

    assert time.monotonic() - began < DEADLINE_SECONDS + GONE_SECONDS
    assert await containers.list_of_role(engine, Role.BUILDER) == []
    assert waited.seconds < BUSY_MACHINE_SECONDS

    opened = await run(builder, build_request(), dockerfile)
    assert opened.error is None, "open: it goes on to its end"


@FULL
async def test_fork_bomb_ends_by_its_processes_or_its_deadline(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    """Sooner or later it takes the builder's own daemon the processes that it needs."""
    began = time.monotonic()
    async with longest_wait() as waited:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await builder.build(
                    build_request(), context(f"FROM {base_image}\nRUN {FORK_BOMB}\n"), lambda _: None
                )
        except TimeoutError:
            pass
        except DeploymentFailed as failed:
            assert failed.failure.code is FailureCode.BUILD_FAILED
            assert "processes" in failed.failure.message
        else:
            pytest.fail("it went on to its end")

    assert time.monotonic() - began < DEADLINE_SECONDS + GONE_SECONDS
    assert await containers.list_of_role(engine, Role.BUILDER) == []
    assert waited.seconds < BUSY_MACHINE_SECONDS
