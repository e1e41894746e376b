"""Who ended a container: its program itself, or somebody through the engine. An engine that is shut down ends all of
them that way, and goes on answering over connections that are open."""

from __future__ import annotations

import json
import time

from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import SIGKILLED, ContainerState
from stackyn_server.engine.timestamps import NANOSECONDS, as_parameter, to_nanoseconds

_SIGNALLED = frozenset({0, SIGKILLED, 128 + 15})  # exit codes of programs that SIGKILL or SIGTERM has ended
_LISTEN_SECONDS = 1  # for the other event: which of the two comes first differs between engines


async def was_ended_from_outside(engine: Engine, ended: ContainerState) -> bool:
    """Say whether the engine was told to end it, or is another one by now, which knows nothing of that end.

    Raises `EngineUnavailable`.
    """
    if ended.out_of_memory or ended.exit_code not in _SIGNALLED or ended.started_at is None:
        return False
    filters = {"type": ["container"], "container": [ended.id], "event": ["kill", "die"]}
    parameters = {
        "filters": json.dumps(filters),
        "since": as_parameter(to_nanoseconds(ended.started_at)),
        "until": as_parameter(time.time_ns() + _LISTEN_SECONDS * NANOSECONDS),
    }
    seen = set()
    async with engine.stream("GET", "events", params=parameters) as stream:
        async for record in stream.json_lines():
            seen.add(record.get("Action"))
            if "kill" in seen:
                return True
    return "die" not in seen
