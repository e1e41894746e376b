"""An app that was killed is told why, also when the engine did not notice that it was for memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.pipeline.rollout.probe import exit_failure, running_state
from tests.engine.parts import ended

Spec = Callable[..., ContainerSpec]


async def test_unexplained_kill_names_memory_as_likely_cause(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec(command="echo too much; kill -9 $$"))
    await ended(engine, container)

    with pytest.raises(DeploymentFailed) as raised:
        await running_state(engine, container)

    failure = raised.value.failure
    assert failure.code is FailureCode.APP_EXITED, "what is not known is not claimed"
    assert "killed" in failure.message and "most likely" in failure.message and "memory" in failure.message
    assert "more memory" in failure.hint
    assert "too much" in failure.evidence


async def test_what_the_engine_knows_is_said_without_a_guess(engine: Engine, spec: Spec) -> None:
    state = await ended(engine, await containers.start(engine, spec(command="kill -9 $$")))

    assert exit_failure(replace(state, out_of_memory=True), "").code is FailureCode.APP_OUT_OF_MEMORY
