"""A build that would go on for ever is ended from outside, at once, whatever it does.

Without a deadline each goes on to its own end. What its tenant reads is shown in `tests/e2e/test_deadlines.py`;
`tests/bench/engine` asserts how soon after its deadline it has ended.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.engine import containers
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.labels import Role
from tests.engine.building import context
from tests.engine.hostile_builds.attack import Make, run
from tests.loop import longest_wait

DEADLINE_SECONDS = 3
FORK_BOMB = (
    "bomb() { bomb | bomb & }; bomb & exec sleep 8"  # forks once itself: soon there is no room for more
)
FULL = pytest.mark.full
ENDLESS = {
    "endless output": "busybox timeout 8 yes sixteen-and-more; true",
    "sleep": "sleep 8",
    "busy loop": "busybox timeout 8 sh -c 'while :; do :; done'; true",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a build ended that had a deadline, after how long, and the longest wait of the event loop meanwhile."""

    error: TimeoutError | DeploymentFailed | None
    seconds: float
    longest_wait_seconds: float


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, id=name, marks=() if name == "endless output" else FULL)
        for name, step in ENDLESS.items()
    ],
)
async def test_deadline_ends_any_build(
    engine: Engine, base_image: str, builder: Builder, build_request: Make, step: str
) -> None:
    dockerfile = f"FROM {base_image}\nRUN {step}\n"

    ended = await run_until_deadline(builder, build_request(), dockerfile)

    assert isinstance(ended.error, TimeoutError)
    assert await containers.list_of_role(engine, Role.BUILDER) == []
    assert ended.longest_wait_seconds < ended.seconds / 4, "who waits for the event loop notices nothing"

    opened = await run(builder, build_request(), dockerfile)
    assert opened.error is None, "open: it goes on to its end"
    assert ended.seconds < opened.seconds, "the deadline ended it, not its own end"


@FULL
async def test_fork_bomb_ends_by_its_processes_or_its_deadline(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    """Sooner or later it takes the builder's own daemon the processes that it needs."""
    ended = await run_until_deadline(builder, build_request(), f"FROM {base_image}\nRUN {FORK_BOMB}\n")

    check_end_of_fork_bomb(ended)
    assert await containers.list_of_role(engine, Role.BUILDER) == []
    assert ended.longest_wait_seconds < ended.seconds / 4, "who waits for the event loop notices nothing"


async def run_until_deadline(builder: Builder, request: BuildRequest, dockerfile: str) -> Ended:
    lines = 0

    def count(_: str) -> None:
        nonlocal lines
        lines += 1

    error: TimeoutError | DeploymentFailed | None = None
    began = time.monotonic()
    async with longest_wait() as waited:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await builder.build(request, context(dockerfile), count)
        except (TimeoutError, DeploymentFailed) as raised:
            error = raised
    return Ended(error, time.monotonic() - began, waited.seconds)


def check_end_of_fork_bomb(ended: Ended) -> None:
    assert ended.error is not None, "it went on to its end"
    if isinstance(ended.error, DeploymentFailed):
        assert ended.error.failure.code is FailureCode.BUILD_FAILED
        assert "processes" in ended.error.failure.message
