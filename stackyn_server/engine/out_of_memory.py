"""Whether the kernel killed something in a build for memory. A shell or a build tool often hides it behind an exit code
of its own; the engine's events don't."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime

from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable
from stackyn_server.engine.timestamps import exactly, spelled


async def was_out_of_memory(engine: Engine, containers: Collection[str], since: datetime) -> bool:
    """Look for an `oom` event of one of `containers` (ids or their beginnings) from `since` until now.

    The engine replays only its newest 256 events, so False is not proof.
    """
    parameters = {
        "since": spelled(exactly(since)),
        "until": spelled(exactly(datetime.now(UTC))),
        "filters": json.dumps({"type": ["container"], "event": ["oom"]}),
    }
    try:
        async with engine.stream("GET", "events", params=parameters) as stream:
            async for event in stream.json_lines():
                if any(str(event["Actor"]["ID"]).startswith(container) for container in containers):
                    return True
    except (EngineRefused, EngineUnavailable):
        return False  # then the build's own exit code has to do
    return False
