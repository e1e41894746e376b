"""Finds idle apps: no request and no open connection for `[apps] idle_minutes`.

The managed proxy counts a request when it ends. So if the count has not changed for that time and no connection is open
now, none was open in between. With another proxy, the kernel's count of connections that the container accepted is
used, less those of the health checks: a request on an earlier connection means that this connection is still open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.domain.jobs import Kind
from stackyn_server.engine import containers, sockets
from stackyn_server.engine.client import Engine
from stackyn_server.ingress.driver import Ingress
from stackyn_server.jobs.run import JobRun
from stackyn_server.reconcile.bounded_map import bounded_map
from stackyn_server.reconcile.failing import Failing
from stackyn_server.reconcile.health import HealthChecks
from stackyn_server.store import instances, jobs
from stackyn_server.store.database import Database
from stackyn_server.store.instances import RouteTarget

_SECONDS_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class _Activity:
    """The last count, and the time of the clock since which it has not changed."""

    count: tuple[int, ...]
    since: float


class IdleApps:
    """Run on a period. The counts are kept in memory: after a restart of the server, apps only sleep later."""

    def __init__(
        self, settings: Settings, database: Database, engine: Engine, ingress: Ingress, checks: HealthChecks
    ) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._ingress = ingress
        self._checks = checks
        self._activity: dict[InstanceId, _Activity] = {}
        self._failing = Failing[AppId]("idle_app.unknown")

    async def enqueue_jobs(self, _: JobRun) -> None:
        """Enqueue `sleep` for each idle app, and `wake` for each sleeping app that may not sleep any more."""
        async with self._database.connection() as connection:
            routed = await instances.routed(connection)
        awake = [app for app in routed if not app.is_held and self._may_sleep(app)]
        counts = await self._ingress.requests() if awake else None
        are_idle = await bounded_map(
            awake,
            lambda app: self._is_idle(app, counts),
            at_once=self._settings.reconcile.at_once,
            seconds=self._settings.reconcile.app_seconds,
        )
        self._failing.note(zip((app.app for app in awake), are_idle, strict=True))
        to_sleep = [app for app, is_idle in zip(awake, are_idle, strict=True) if is_idle is True]
        present = {app.instance for app in awake}
        self._activity = {key: value for key, value in self._activity.items() if key in present}
        to_wake = [app for app in routed if app.is_held and not self._may_sleep(app)]
        if to_sleep or to_wake:
            async with self._database.transaction() as connection:
                for app in to_sleep:
                    await jobs.enqueue_for_app(connection, Kind.SLEEP, app.app, app.tenant)
                for app in to_wake:
                    await jobs.enqueue_for_app(connection, Kind.WAKE, app.app, app.tenant)

    def _may_sleep(self, app: RouteTarget) -> bool:
        plans = self._settings.plans
        plan = plans.get(app.plan) or plans[self._settings.billing.default_plan]
        return self._ingress.can_hold and self._settings.apps.idle_minutes > 0 and not plan.always_on

    async def _is_idle(self, app: RouteTarget, counts: Mapping[AppId, int] | None) -> bool:
        pid = 0
        if counts is None:
            pid = await self._pid(app)
            accepted = await asyncio.to_thread(sockets.count_accepted, pid)
            count: tuple[int, ...] = (pid, accepted - self._checks.answered[app.instance])
        else:
            count = (counts.get(app.app, 0),)
        now, last = time.monotonic(), self._activity.get(app.instance)
        if last is None or last.count != count:
            self._activity[app.instance] = _Activity(count, now)
            return False
        if now - last.since < self._settings.apps.idle_minutes * _SECONDS_PER_MINUTE:
            return False
        pid = pid or await self._pid(app)
        return pid > 0 and await asyncio.to_thread(sockets.count_connections, pid, app.port) == 0

    async def _pid(self, app: RouteTarget) -> int:
        state = await containers.find(self._engine, app.instance)
        return state.pid if state else 0
