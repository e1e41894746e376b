"""How an instance ends: stopped, killed, crashed, and what the engine does then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.container_state import ContainerState
from tests.engine.parts import (
    ended,
    eventually,
    new_id,
)
from tests.patience import within

Spec = Callable[..., ContainerSpec]


async def test_a_start_command_gets_the_stop_signal_itself(engine: Engine, spec: Spec) -> None:
    script = "trap 'echo told-to-stop; exit 0' TERM; echo ready; while true; do usleep 20000; done"
    container = await containers.start(engine, spec(command=f'sh -c "{script}"'))
    await eventually(lambda: containers.last_lines(engine, container), "ready")

    await containers.stop(engine, container, 20)

    state = await containers.inspect(engine, container)
    assert state is not None and not state.running and state.exit_code == 0
    assert "told-to-stop" in await containers.last_lines(engine, container)


async def test_app_that_ignores_sigterm_is_killed_after_the_grace(engine: Engine, spec: Spec) -> None:
    container = await containers.start(
        engine, spec(command="sh -c \"trap '' TERM; while :; do sleep 1; done\"")
    )
    await asyncio.sleep(0)

    async with within(8):  # the engine's own grace is 10 s
        await containers.stop(engine, container, 1)

    state = await containers.inspect(engine, container)
    assert state is not None and not state.running


async def test_crashed_container_restarts_only_with_the_policy_on(engine: Engine, spec: Spec) -> None:
    container_spec = spec(command='sh -c "sleep 0.2; exit 7"')
    container = await containers.start(engine, container_spec)
    state = await ended(engine, container)
    assert (state.running, state.exit_code, state.restart_count) == (False, 7, 0)

    again = await containers.start(engine, spec(command='sh -c "sleep 0.2; exit 7"'))
    await containers.set_restart(engine, again, True)
    await eventually(lambda: _has_restarted(engine, again), True)
    await containers.set_restart(engine, again, False)

    await containers.stop(engine, again, 0)
    assert not (await _state(engine, again)).running


async def test_policy_of_a_crash_looping_container_can_be_changed(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec(command="usleep 50000"))

    for _ in range(10):
        await containers.set_restart(engine, container, True)
    await containers.set_restart(engine, container, False)

    await containers.stop(engine, container, 0)
    assert not (await _state(engine, container)).restarting


async def _has_restarted(engine: Engine, container: str) -> bool:
    return (await _state(engine, container)).restart_count > 0


async def _state(engine: Engine, container: str) -> ContainerState:
    state = await containers.inspect(engine, container)
    assert state is not None
    return state


async def test_every_verb_takes_an_absent_container_for_done(engine: Engine) -> None:
    for name in ("no-such-container", "0" * 64):
        await containers.set_restart(engine, name, False)
        await containers.stop(engine, name, 1)
        await containers.remove(engine, name)
        assert await containers.inspect(engine, name) is None
        assert await containers.last_lines(engine, name) == ""
    assert await containers.find(engine, InstanceId(new_id())) is None


async def test_stop_and_remove_may_be_repeated(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec())
    for _ in range(2):
        await containers.stop(engine, container, 0)
    await asyncio.gather(*(containers.remove(engine, container) for _ in range(3)))

    assert await containers.inspect(engine, container) is None
