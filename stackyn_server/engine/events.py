"""Watch the engine's events about our containers.

Events are hints only: the engine replays its newest 256, and a flood pushes out the rest. So each connection begins
with `RESYNC`, and the reader then lists the containers and compares.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog

from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import Labelled
from stackyn_server.engine.errors import EngineRefused, EngineSilent, EngineUnavailable
from stackyn_server.engine.timestamps import as_parameter, from_nanoseconds
from stackyn_server.pause import Pause

# Back-off of reconnecting: the engine starts in a few seconds, and an attempt costs next to nothing.
_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 5.0

log = structlog.get_logger()


class Action(StrEnum):
    RESYNC = "resync"
    LOST = "lost"
    START = "start"
    DIE = "die"
    OUT_OF_MEMORY = "oom"
    DESTROY = "destroy"
    PAUSE = "pause"
    UNPAUSE = "unpause"


_OURS = (Action.RESYNC, Action.LOST)
_WATCHED = [action.value for action in Action if action not in _OURS]


@dataclass(frozen=True, slots=True)
class EngineEvent(Labelled):
    """`RESYNC` and `LOST` have neither container nor labels. `exit_code` comes with `DIE` only. The order of events
    about one stop differs between engines."""

    action: Action
    at: datetime | None = None
    container: str = ""
    name: str = ""
    exit_code: int | None = None


async def watch(engine: Engine) -> AsyncGenerator[EngineEvent, None]:
    """Yield events of this installation's containers without end, and reconnect when the engine is lost.

    The first event is `RESYNC`. After `LOST` there are no events until the next `RESYNC`. Use it with
    `contextlib.aclosing`. Raises `EngineUnsupported` when another engine answers that is not supported.
    """
    since: int | None = None
    was_silent = False
    pause = Pause(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
    while True:
        try:
            await engine.negotiate()  # the engine may have been upgraded meanwhile
            opened = time.time_ns()
            async with engine.stream(
                "GET",
                "events",
                params=_parameters(engine, since),
                silence_seconds=engine.settings.silence_seconds,
            ) as stream:
                if not was_silent:
                    yield EngineEvent(Action.RESYNC)
                was_silent, since = False, since or opened
                pause.reset()
                last_event: tuple[str, str] | None = None
                async for record in stream.json_lines():
                    since = int(record["timeNano"])
                    event = _event(engine, record)
                    # One container out of memory sends up to hundreds of equal events.
                    if event is None or (event.action, event.container) == last_event:
                        continue
                    last_event = (event.action, event.container)
                    yield event
        except EngineSilent:
            # Hours without an event are ordinary, and look like a stream that hangs. A new one begins after the last.
            was_silent = True
            continue
        except (EngineUnavailable, EngineRefused) as error:
            was_silent = False
            log.warning("engine.events_lost", reason=error.reason, again_in_seconds=pause.next_seconds)
            yield EngineEvent(Action.LOST)
        await pause.wait()


def _parameters(engine: Engine, since: int | None) -> dict[str, str]:
    filters = {**engine.labels.object_filter(), "type": ["container"], "event": _WATCHED}
    parameters = {"filters": json.dumps(filters)}
    if since is not None:
        parameters["since"] = as_parameter(since + 1)  # `since` includes its own nanosecond
    return parameters


def _event(engine: Engine, record: Mapping[str, Any]) -> EngineEvent | None:
    """Read one record, from members that all engines have. None for a container that is not ours."""
    actor = record.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    name = str(attributes.get("name", ""))
    action = str(record.get("Action", ""))
    if action not in _WATCHED or not engine.labels.owns_container(name, attributes):
        return None
    code = attributes.get("exitCode")
    return EngineEvent(
        action=Action(action),
        at=from_nanoseconds(int(record["timeNano"])),
        container=str(actor.get("ID", "")),
        name=name,
        labels=attributes,
        exit_code=int(code) if code is not None else None,
    )
