"""Containers that end by themselves: counted, named, and stopped for good when it happens too often."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable

import structlog

from stackyn_server import config
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.events import EngineEvent
from stackyn_server.store import apps, events, instances
from stackyn_server.store.database import Database
from stackyn_server.store.giving_up import give_up
from stackyn_server.store.instances import InstanceState

log = structlog.get_logger()


class Crashes:
    """The engine's restart policy brings a crashed container back, also without us; we count.

    After `[apps] restart_limit` crashes within `restart_window_seconds` the app is stopped with the reason.
    """

    def __init__(
        self,
        settings: config.Apps,
        database: Database,
        engine: Engine,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._clock = clock
        self._times: dict[InstanceId, deque[float]] = defaultdict(deque)

    async def heard(self, event: EngineEvent) -> None:
        """Take the end of a container; only that of a serving instance matters here."""
        if event.instance is None:
            return
        async with self._database.connection() as connection:
            instance = await instances.get(connection, event.instance)
            app = await apps.get(connection, instance.app) if instance else None
        if instance is None or app is None or app.desired is not Desired.RUNNING:
            return
        if instance.state is not InstanceState.UP:
            return
        state = await containers.find(self._engine, instance.id)
        if state is None:
            return
        lines = await containers.last_lines(self._engine, state.id, self._settings.crash_lines)
        count = self._count(instance.id)
        reason = _reason(state.out_of_memory, state.exit_code)
        log.info("app.crashed", app=app.id, instance=instance.id, count=count, reason=reason)
        async with self._database.transaction() as connection:
            await instances.count_restarts(connection, instance.id, instance.restart_count + 1)
            await events.append(
                connection,
                "app.crashed",
                tenant=app.tenant,
                app=app.id,
                data={
                    "reason": reason,
                    "exit_code": state.exit_code,
                    "out_of_memory": state.out_of_memory,
                    "last_lines": lines.replace("\x00", ""),
                },
            )
        if count >= self._settings.restart_limit:
            async with self._database.transaction() as connection:
                await give_up(connection, app.id, f"{reason} That happened {count} times in a short while.")

    def _count(self, instance: InstanceId) -> int:
        times, now = self._times[instance], self._clock()
        times.append(now)
        while times[0] < now - self._settings.restart_window_seconds:
            times.popleft()
        return len(times)


def _reason(out_of_memory: bool, exit_code: int) -> str:
    if out_of_memory:
        return "The app was ended because it used more memory than it is allowed."
    return f"The app ended by itself with exit code {exit_code}."
