"""Which apps nobody uses: no request counted and no connection open for `[apps] idle_minutes`.

Where our own proxy counts requests, a request is counted when it ends: so if the count has not moved for that long and
nobody is connected now, nobody was connected in between. Where there is no such count, the kernel's number of accepted
connections of the container, our own health checks' taken off, does the same: a request without a new connection has
one that is still open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.domain.jobs import Kind
from stackyn_server.engine import containers, sockets
from stackyn_server.engine.client import Engine
from stackyn_server.ingress.driver import Ingress
from stackyn_server.jobs.run import JobRun
from stackyn_server.reconcile.health import HealthChecks
from stackyn_server.store import instances, work
from stackyn_server.store.database import Database
from stackyn_server.store.instances import Routed

_SECONDS = 60.0  # in a minute


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was counted, and since when it has been that."""

    count: tuple[int, ...]
    since: float


class Idle:
    """Run on a period. What it knows begins anew with the server, so that a restart only makes apps sleep later."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        engine: Engine,
        ingress: Ingress,
        checks: HealthChecks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._ingress = ingress
        self._checks = checks
        self._clock = clock
        self._seen: dict[InstanceId, _Seen] = {}

    async def look(self, _: JobRun) -> None:
        """Enqueue `sleep` for each app that is idle, and `wake` for each that may not sleep any more."""
        async with self._database.connection() as connection:
            routed = await instances.routed(connection)
        sleepers = [one for one in routed if not one.is_held and self._may_sleep(one)]
        counts = await self._ingress.requests() if sleepers else None
        idle = [one for one in sleepers if await self._is_idle(one, counts)]
        self._seen = {
            one.instance: self._seen[one.instance] for one in sleepers if one.instance in self._seen
        }
        woken = [one for one in routed if one.is_held and not self._may_sleep(one)]
        if idle or woken:
            async with self._database.transaction() as connection:
                for one in idle:
                    await work.for_app(connection, Kind.SLEEP, one.app, one.tenant)
                for one in woken:
                    await work.for_app(connection, Kind.WAKE, one.app, one.tenant)

    def _may_sleep(self, one: Routed) -> bool:
        plans = self._settings.plans
        plan = plans.get(one.plan) or plans[self._settings.billing.default_plan]
        return self._ingress.can_hold and self._settings.apps.idle_minutes > 0 and not plan.always_on

    async def _is_idle(self, one: Routed, counts: Mapping[AppId, int] | None) -> bool:
        pid = 0
        if counts is None:
            pid = await self._pid(one)
            accepted = await asyncio.to_thread(sockets.accepted, pid)
            count: tuple[int, ...] = (pid, accepted - self._checks.answered[one.instance])
        else:
            count = (counts.get(one.app, 0),)
        now, seen = self._clock(), self._seen.get(one.instance)
        if seen is None or seen.count != count:
            self._seen[one.instance] = _Seen(count, now)
            return False
        if now - seen.since < self._settings.apps.idle_minutes * _SECONDS:
            return False
        pid = pid or await self._pid(one)
        return pid > 0 and await asyncio.to_thread(sockets.established, pid, one.port) == 0

    async def _pid(self, one: Routed) -> int:
        state = await containers.find(self._engine, one.instance)
        return state.pid if state else 0
