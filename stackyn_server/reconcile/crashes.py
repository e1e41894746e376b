"""Counts the crashes of apps.

The engine's restart policy restarts a crashed container, also while this server is away, and counts the restarts. The
difference between the engine's count and the recorded one is the number of new crashes. A stop by hand, a restart of
the engine and a restart by this server do not raise the engine's count, so none of them is taken for a crash.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

import structlog

from stackyn_server import config
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.crashes import CRASHED, Crash
from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import SIGKILLED, ContainerState
from stackyn_server.engine.events import Action, EngineEvent
from stackyn_server.journal.runtime_log_keeper import RuntimeLogKeeper
from stackyn_server.pause import Pause
from stackyn_server.pipeline.crash_limit import record_crash
from stackyn_server.reconcile.bounded_map import Failed, bounded_map
from stackyn_server.reconcile.failing import Failing
from stackyn_server.store import apps, events, instances
from stackyn_server.store.database import Database
from stackyn_server.store.instances import InstanceState

log = structlog.get_logger()

# An `oom` event arrives before or after the `die` event that it explains, depending on the engine.
_OUT_OF_MEMORY_BEFORE_END_SECONDS = 10.0
_OUT_OF_MEMORY_AGAIN_SECONDS = 60.0  # a container without enough memory sends many events: one is reported


@dataclass(frozen=True, slots=True)
class _NotedEvents:
    """What events have said since the last look. `exit_codes`: of instances that ended or started."""

    exit_codes: dict[InstanceId, int | None] = field(default_factory=dict)
    out_of_memory: set[InstanceId] = field(default_factory=set)

    @property
    def instances(self) -> set[InstanceId]:
        return self.exit_codes.keys() | self.out_of_memory

    def followed_by(self, later: _NotedEvents) -> _NotedEvents:
        codes = {
            instance: self.exit_codes.get(instance) if code is None else code
            for instance, code in later.exit_codes.items()
        }
        return _NotedEvents(self.exit_codes | codes, self.out_of_memory | later.out_of_memory)


class CrashCounter:
    """Records crashes. After `[apps] restart_limit` crashes within `restart_window_seconds` the app is stopped."""

    def __init__(
        self, settings: config.Settings, database: Database, engine: Engine, log_keeper: RuntimeLogKeeper
    ) -> None:
        self._settings = settings.apps
        self._limits = settings.reconcile
        self._database = database
        self._engine = engine
        self._log_keeper = log_keeper
        self._out_of_memory_at: dict[str, float] = {}  # by container
        self._noted = _NotedEvents()
        self._has_noted = asyncio.Event()
        self._failing = Failing[InstanceId]("crash.uncounted", "instance")
        self._failing_missed = Failing[InstanceId]("crash.uncounted", "instance")

    def note(self, event: EngineEvent) -> None:
        """Have `run` look at the instance of an event. Many events of one instance are one look."""
        if event.instance is None:
            return
        if event.action is Action.OUT_OF_MEMORY:
            now = time.monotonic()
            oldest = now - _OUT_OF_MEMORY_AGAIN_SECONDS
            self._out_of_memory_at = {
                container: at for container, at in self._out_of_memory_at.items() if at > oldest
            }
            if event.container not in self._out_of_memory_at:
                self._noted.out_of_memory.add(event.instance)
            self._out_of_memory_at[event.container] = now
        elif event.action in (Action.DIE, Action.START):
            earlier = self._noted.exit_codes.get(event.instance)
            self._noted.exit_codes[event.instance] = earlier if event.exit_code is None else event.exit_code
        self._has_noted.set()

    async def run(self) -> None:
        """Count the crashes that events report, for ever. Run it as a supervised task."""
        pause = Pause(self._limits.event_seconds, self._limits.period_seconds)
        while True:
            await self._has_noted.wait()
            self._has_noted.clear()
            noted, self._noted = self._noted, _NotedEvents()
            failed = await self._look(noted)
            if failed.instances:  # once more, later
                self._noted = failed.followed_by(self._noted)
                self._has_noted.set()
            else:
                pause.reset()
            await pause.wait()

    async def _look(self, noted: _NotedEvents) -> _NotedEvents:
        """Look at each instance, and return what could not be looked at."""

        async def look(instance: InstanceId) -> None:
            if instance in noted.out_of_memory:
                await self._report_out_of_memory(instance)
                noted.out_of_memory.discard(instance)
            if instance in noted.exit_codes:
                await self._count(instance, noted.exit_codes[instance], was_seen=True)
                del noted.exit_codes[instance]

        await self._each(noted.instances, look, self._failing)
        return noted

    async def _report_out_of_memory(self, instance_id: InstanceId) -> None:
        """Report it also when only a child process was killed and the app goes on."""
        async with self._database.transaction() as connection:
            instance = await instances.get(connection, instance_id)
            app = await apps.get(connection, instance.app) if instance else None
            if instance is None or app is None or instance.state is not InstanceState.UP:
                return
            reason = "A process of the app was ended because the app used more memory than it is allowed."
            await events.append(
                connection, "app.out_of_memory", tenant=app.tenant, app=app.id, data={"reason": reason}
            )

    async def count_missed(self) -> bool:
        """Count the crashes before this server started, and those whose events were lost. False when some apps could
        not be looked at. Raises `DatabaseUnavailable`."""
        async with self._database.connection() as connection:
            serving = await instances.serving_now(connection)
        return await self._each(
            [target.instance for target in serving],
            lambda instance: self._count(instance, None, was_seen=False),
            self._failing_missed,
        )

    async def _each(
        self,
        looked_at: Collection[InstanceId],
        look: Callable[[InstanceId], Awaitable[None]],
        failing: Failing[InstanceId],
    ) -> bool:
        """Look at each instance; return whether all could be looked at."""
        limits = self._limits
        results = await bounded_map(looked_at, look, at_once=limits.at_once, seconds=limits.app_seconds)
        failing.note(zip(looked_at, results, strict=True))
        return not any(isinstance(result, Failed) for result in results)

    async def _count(self, instance_id: InstanceId, exit_code: int | None, *, was_seen: bool) -> None:
        async with self._database.connection() as connection:
            instance = await instances.get(connection, instance_id)
            app = await apps.get(connection, instance.app) if instance else None
        if instance is None or app is None or app.desired is not Desired.RUNNING:
            return
        if instance.state is not InstanceState.UP:
            return
        state = await containers.find(self._engine, instance.id)
        if state is None or state.restart_count == instance.engine_restarts:
            return
        # A smaller count restarted at 0: the container was started by hand, by this server, or with the engine.
        counted = instance.engine_restarts if state.restart_count > instance.engine_restarts else 0
        crash = await self._crash(state, exit_code, state.restart_count - counted, was_seen)
        async with self._database.transaction() as connection:
            is_recorded = await instances.count_to(
                connection, instance.id, instance.engine_restarts, state.restart_count
            )
            if is_recorded and crash.count:
                await instances.set_down(connection, [instance.id])
                log.info(
                    "app.crashed", app=app.id, instance=instance.id, count=crash.count, reason=crash.reason
                )
                await record_crash(connection, app, instance.id, crash, self._settings)
        if is_recorded and crash.count:
            await self._log_keeper.keep(instance.id, state.id)

    async def _crash(self, state: ContainerState, exit_code: int | None, count: int, was_seen: bool) -> Crash:
        if not count:
            return Crash(CRASHED, "", count=0)
        if exit_code is None and state.restarting:
            exit_code = state.exit_code
        oldest = time.monotonic() - _OUT_OF_MEMORY_BEFORE_END_SECONDS
        out_of_memory = state.out_of_memory or self._out_of_memory_at.get(state.id, oldest) > oldest
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
    if exit_code == SIGKILLED:
        return (
            f"The app was killed (exit code {SIGKILLED}), most likely because it used more memory than "
            "it is allowed."
        )
    return f"The app ended by itself with exit code {exit_code}."
