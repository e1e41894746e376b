"""Stop and remove one container, and keep what it wrote."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.journal.runtime_log_keeper import RuntimeLogKeeper
from stackyn_server.store import instances
from stackyn_server.store.database import Connection

_LAST_LINES = 200


@dataclass(frozen=True, slots=True)
class LastOutput:
    """A container's last lines and how it ended; both None when there was no container any more."""

    lines: str | None = None
    state: dict[str, Any] | None = None

    async def record(self, connection: Connection, instance: InstanceId) -> None:
        """Set the instance gone, which frees its slot, and keep how its container ended."""
        await self.keep(connection, instance)
        await instances.set_gone(connection, instance)

    async def keep(self, connection: Connection, instance: InstanceId) -> None:
        """Keep how the container of an instance ended whose slot is still needed."""
        await instances.keep_state(connection, instance, self.state)


async def take_down(
    engine: Engine, instance: InstanceId, grace_seconds: float, log_keeper: RuntimeLogKeeper
) -> LastOutput:
    """Stop and remove an instance's container, and store what it wrote. Idempotent."""
    state = await containers.find(engine, instance)
    if state is None:
        return LastOutput()
    await containers.set_restart(engine, state.id, on=False)
    has_log = await log_keeper.keep(instance, state.id)  # most of it, while it still serves
    await containers.stop(engine, state.id, grace_seconds)
    ended = await containers.inspect(engine, state.id)
    lines = ""
    if has_log and await log_keeper.keep(instance, state.id):  # a log that hangs is waited for once
        lines = await containers.last_lines(engine, state.id, _LAST_LINES)
    await containers.remove(engine, state.id)
    picture = asdict(ended or state)
    return LastOutput(lines, {key: picture[key] for key in ("exit_code", "out_of_memory", "restart_count")})
