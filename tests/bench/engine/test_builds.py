"""How soon a build ends that is cancelled or has a deadline, and what its output costs those who wait for the loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stackyn_server.engine import containers
from stackyn_server.engine.builder import builder_container
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.client import Engine
from stackyn_server.engine.labels import Role
from tests.bench.machine import machine
from tests.engine.builder.layouts import MadeLayout
from tests.engine.builder.test_build_log_writer import write_endless_output
from tests.engine.builder.test_image_contents import FILES, MOST_LABELS, read
from tests.engine.building import cancel_in_mid_step, in_mid_step
from tests.engine.hostile_builds.attack import Make
from tests.engine.hostile_builds.test_deadlines import (
    DEADLINE_SECONDS,
    ENDLESS,
    FORK_BOMB,
    check_end_of_fork_bomb,
    run_until_deadline,
)
from tests.patience import processor_seconds

GONE_SECONDS = 2.0  # what the platform promises
LONGEST_WAIT_SECONDS = 0.5  # of the event loop, beside a build that uses the machine
LONGEST_WAIT_OF_OUTPUT_SECONDS = 0.25  # the lines alone take 0.8 s

pytestmark = pytest.mark.full


async def test_a_cancelled_build_is_gone_within_2_seconds(
    engine: Engine, base_image: str, builder: Builder, build_request: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = await cancel_in_mid_step(engine, builder, build_request(), base_image)
    where = await machine()
    with capsys.disabled():
        print(f"\na cancelled build is gone after {seconds:.2f} s; {where}")
    assert seconds < GONE_SECONDS


async def test_a_paused_build_is_gone_within_2_seconds(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    request = build_request()
    async with (
        in_mid_step(builder, request, base_image) as task,
        builder_container.paused(engine, request.deployment),
    ):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(GONE_SECONDS):
                await task


@pytest.mark.parametrize("step", [*ENDLESS.values(), FORK_BOMB], ids=[*ENDLESS, "fork bomb"])
async def test_a_build_is_gone_2_seconds_after_its_deadline(
    engine: Engine, base_image: str, builder: Builder, build_request: Make, step: str
) -> None:
    ended = await run_until_deadline(builder, build_request(), f"FROM {base_image}\nRUN {step}\n")

    if step == FORK_BOMB:
        check_end_of_fork_bomb(ended)
    else:
        assert isinstance(ended.error, TimeoutError)
    assert ended.seconds < DEADLINE_SECONDS + GONE_SECONDS
    assert ended.longest_wait_seconds < LONGEST_WAIT_SECONDS
    assert await containers.list_of_role(engine, Role.BUILDER) == []


async def test_endless_output_holds_the_loop_below_250_ms() -> None:
    longest_wait_seconds, _ = await write_endless_output()
    assert longest_wait_seconds < LONGEST_WAIT_OF_OUTPUT_SECONDS


def test_the_largest_image_documents_are_read_within_a_second(tmp_path: Path) -> None:
    layout = MadeLayout(tmp_path / "out")
    MadeLayout(tmp_path / "images")
    layout.image([FILES], {"Labels": MOST_LABELS})

    assert processor_seconds(lambda: read(layout)) < 1
