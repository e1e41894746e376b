"""Containers that end by themselves: counted, named, and stopped for good when it happens too often.

The engine's restart policy brings a crashed container back, also without us, and counts. What it has counted and we
have not, happened since we last looked. So a stop by hand, a restart of the engine and our own restarts are no
crashes, and what happened while this server was away is none the less known.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from stackyn_server import config
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import KILLED, ContainerState
from stackyn_server.engine.events import Action, EngineEvent
from stackyn_server.reconcile.turns import in_turns
from stackyn_server.store import apps, crashes, events, instances
from stackyn_server.store.crashes import CRASHED, Crash
from stackyn_server.store.database import Database
from stackyn_server.store.instances import InstanceState, Serving

log = structlog.get_logger()

_SAME_END_SECONDS = (
    10.0  # an `oom` event comes before or after the `die` that it explains, depending on the engine
)
_TOLD_SECONDS = 60.0  # a container that is short of memory sends many events
_AT_ONCE = 16


class Crashes:
    """After `[apps] restart_limit` crashes within `restart_window_seconds` the app is stopped with the reason."""

    def __init__(
        self,
        settings: config.AppsSettings,
        database: Database,
        engine: Engine,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._clock = clock
        self._out_of_memory: dict[str, float] = {}

    async def heard(self, event: EngineEvent) -> None:
        """Take an event. Raises `EngineUnavailable`, `DatabaseUnavailable`; then `recount` finds what was missed."""
        if event.action is Action.OUT_OF_MEMORY and event.instance is not None:
            now = self._clock()
            self._out_of_memory = {
                container: at for container, at in self._out_of_memory.items() if at > now - _TOLD_SECONDS
            }
            is_news = event.container not in self._out_of_memory
            self._out_of_memory[event.container] = now
            if is_news:
                await self._tell_out_of_memory(event.instance)
        elif event.action in (Action.DIE, Action.START) and event.instance is not None:
            await self._count(event.instance, event.exit_code, was_seen=True)

    async def _tell_out_of_memory(self, of: InstanceId) -> None:
        """Also when the app goes on, because it was not its first process: its owner has to know."""
        async with self._database.transaction() as connection:
            instance = await instances.get(connection, of)
            app = await apps.get(connection, instance.app) if instance else None
            if instance is None or app is None or instance.state is not InstanceState.UP:
                return
            reason = "A process of the app was ended because the app used more memory than it is allowed."
            await events.append(
                connection, "app.out_of_memory", tenant=app.tenant, app=app.id, data={"reason": reason}
            )

    async def recount(self) -> None:
        """Count what happened while nobody looked: before this server, or while the engine's events were lost."""
        async with self._database.connection() as connection:
            serving = await instances.serving_now(connection)
        await in_turns(serving, self._count_missed, at_once=_AT_ONCE)

    async def _count_missed(self, one: Serving) -> None:
        await self._count(one.instance, None, was_seen=False)

    async def _count(self, of: InstanceId, exit_code: int | None, *, was_seen: bool) -> None:
        async with self._database.connection() as connection:
            instance = await instances.get(connection, of)
            app = await apps.get(connection, instance.app) if instance else None
        if instance is None or app is None or app.desired is not Desired.RUNNING:
            return
        if instance.state is not InstanceState.UP:
            return
        state = await containers.find(self._engine, instance.id)
        if state is None or state.restart_count == instance.engine_restarts:
            return
        # A smaller count than before began anew: the container was started by hand, by us, or with the engine.
        counted = instance.engine_restarts if state.restart_count > instance.engine_restarts else 0
        crash = await self._crash(state, exit_code, state.restart_count - counted, was_seen)
        async with self._database.transaction() as connection:
            is_ours = await instances.count_to(
                connection, instance.id, instance.engine_restarts, state.restart_count
            )
            if is_ours and crash.count:
                await instances.set_down(connection, [instance.id])
                log.info(
                    "app.crashed", app=app.id, instance=instance.id, count=crash.count, reason=crash.reason
                )
                await crashes.record(connection, app, instance.id, crash, self._settings)

    async def _crash(self, state: ContainerState, exit_code: int | None, count: int, was_seen: bool) -> Crash:
        if not count:
            return Crash(CRASHED, "", count=0)
        if exit_code is None and state.restarting:
            exit_code = state.exit_code
        at = self._out_of_memory.get(state.id)
        out_of_memory = state.out_of_memory or (at is not None and at > self._clock() - _SAME_END_SECONDS)
        return Crash(
            name=CRASHED,
            reason=_reason(out_of_memory, exit_code),
            count=count,
            while_away=not was_seen,
            exit_code=exit_code,
            out_of_memory=out_of_memory,
            last_lines=await containers.last_lines(self._engine, state.id, self._settings.crash_lines),
        )


def _reason(out_of_memory: bool, exit_code: int | None) -> str:
    if out_of_memory:
        return "The app was ended because it used more memory than it is allowed."
    if exit_code is None:
        return "The app ended by itself while nobody looked."
    if exit_code == KILLED:
        return f"The app was killed (exit code {KILLED}), most likely because it used more memory than it is allowed."
    return f"The app ended by itself with exit code {exit_code}."
