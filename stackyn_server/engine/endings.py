"""Decide whether a container ended by itself or a request to the engine ended it.

An engine that shuts down ends all containers from outside, and still answers over open connections.
"""

from __future__ import annotations

import json
import time

from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import SIGKILLED, ContainerState
from stackyn_server.engine.timestamps import NANOSECONDS, as_parameter, to_nanoseconds

_SIGNALLED = frozenset({0, SIGKILLED, 128 + 15})  # exit codes of programs that SIGKILL or SIGTERM ended
_LISTEN_SECONDS = 1  # for the second event: engines differ in which comes first


async def was_ended_from_outside(engine: Engine, ended: ContainerState) -> bool:
    """Return whether a request to the engine ended the container, or the engine has no record of its end.

    An engine that was restarted has no record. Raises `EngineUnavailable`.
    """
    if ended.out_of_memory or ended.exit_code not in _SIGNALLED or ended.started_at is None:
        return False
    filters = {"type": ["container"], "container": [ended.id], "event": ["kill", "die"]}
    parameters = {
        "filters": json.dumps(filters),
        "since": as_parameter(to_nanoseconds(ended.started_at)),
        "until": as_parameter(time.time_ns() + _LISTEN_SECONDS * NANOSECONDS),
    }
    actions = set()
    async with engine.stream("GET", "events", params=parameters) as stream:
        async for record in stream.json_lines():
            actions.add(record.get("Action"))
            if "kill" in actions:
                return True
    return "die" not in actions
