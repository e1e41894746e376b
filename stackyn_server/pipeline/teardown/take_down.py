"""Stop and remove one container, and keep what it said last."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import ContainerState

_LAST_LINES = 200


async def take_down(
    engine: Engine, instance: InstanceId, grace_seconds: float
) -> tuple[str | None, dict[str, Any] | None]:
    """Stop and remove an instance's container. Returns its last lines and how it ended; both None when it was gone."""
    state = await containers.find(engine, instance)
    if state is None:
        return None, None
    await containers.set_restart(engine, state.id, on=False)
    await containers.stop(engine, state.id, grace_seconds)
    ended = await containers.inspect(engine, state.id)
    lines = await containers.last_lines(engine, state.id, _LAST_LINES)
    await containers.remove(engine, state.id)
    return lines, how_it_ended(ended or state)


def how_it_ended(state: ContainerState) -> dict[str, Any]:
    picture = asdict(state)
    return {key: picture[key] for key in ("exit_code", "out_of_memory", "restart_count")}
