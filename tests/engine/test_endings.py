"""Whether a container ended by itself or was ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from stackyn_server.engine import containers, endings
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.container_state import ContainerState

Spec = Callable[..., ContainerSpec]


async def _ended(
    engine: Engine, spec: ContainerSpec, *, grace_seconds: float | None = None
) -> ContainerState:
    """Run it to its end, which comes by a stop when `grace_seconds` are given."""
    container = await containers.start(engine, spec)
    if grace_seconds is not None:
        await containers.stop(engine, container, grace_seconds)
    await engine.ask(engine.docker.containers.container(container).wait())
    state = await containers.inspect(engine, container)
    assert state is not None
    return state


@pytest.mark.parametrize("script", ["exit 0", "exit 1", "kill -9 $$", "exit 143"])
async def test_a_program_that_ends_was_not_ended(engine: Engine, spec: Spec, script: str) -> None:
    state = await _ended(engine, spec(command=script))

    assert not await endings.was_ended_from_outside(engine, state)


@pytest.mark.parametrize("script", ["trap 'exit 0' TERM; sleep 600 & wait", "sleep 600"])
async def test_a_program_that_is_stopped_was_ended(engine: Engine, spec: Spec, script: str) -> None:
    state = await _ended(engine, spec(command=script), grace_seconds=1)

    assert await endings.was_ended_from_outside(engine, state)


async def test_engine_without_record_of_the_end_was_restarted(engine: Engine, spec: Spec) -> None:
    state = await _ended(engine, spec(command="exit 143"))

    assert await endings.was_ended_from_outside(engine, replace(state, id="0" * 64))


async def test_the_end_for_want_of_memory_is_the_programs_own(engine: Engine, spec: Spec) -> None:
    state = await _ended(engine, spec(command="sleep 600"), grace_seconds=0)

    assert not await endings.was_ended_from_outside(engine, replace(state, out_of_memory=True))
