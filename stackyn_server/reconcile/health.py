"""Health checks of serving apps, for plans that include them.

An app that fails several checks in a row is restarted, which counts as a crash. Its recovery is recorded too.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.health import HealthChange, Streak, judge
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.jobs import Kind, RepairArguments
from stackyn_server.domain.seats import address_of
from stackyn_server.engine.http_probe import Visitor, accepts_connections, send_probe
from stackyn_server.errors import StackynError
from stackyn_server.reconcile.bounded_map import bounded_map
from stackyn_server.store import events, instances, jobs
from stackyn_server.store.database import Database
from stackyn_server.store.instances import CheckedInstance

log = structlog.get_logger()


class HealthChecks:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._streaks: dict[InstanceId, Streak] = {}
        # Checks that an app answered: each opened a connection to it.
        self.answered: Counter[InstanceId] = Counter()

    async def run(self) -> None:
        """Check on the period. Run it as a supervised task; it needs no engine."""
        while True:
            try:
                await self.check_all()
            except StackynError as error:
                log.warning("health.unasked", reason=error.message)
            await asyncio.sleep(self._settings.health.interval_seconds)

    async def check_all(self) -> None:
        """Check each app once. Raises `DatabaseUnavailable`."""
        plans = [name for name, plan in self._settings.plans.items() if plan.health_checks]
        async with self._database.connection() as connection:
            targets = await instances.to_check(connection, plans)
        chosen = self._settings.health
        results = await bounded_map(
            targets, self._answers, at_once=chosen.at_once, seconds=chosen.timeout_seconds
        )
        streaks = {}
        for target, result in zip(targets, results, strict=True):
            has_answered = result is True
            self.answered[target.instance] += has_answered
            streak = self._streaks.get(target.instance, Streak()).followed_by(has_answered)
            is_restarted = await self._act(target, streak)
            streaks[target.instance] = Streak() if is_restarted else streak
        self._streaks = streaks
        self.answered = Counter({instance: self.answered[instance] for instance in streaks})

    async def _answers(self, target: CheckedInstance) -> bool:
        """Request the health path as a visitor would and expect a success; without a path, expect a connection.

        The home page is not requested instead: loading it every few seconds may be expensive for the app.
        """
        chosen = self._settings.health
        address = address_of(self._settings.network.subnet, target.seat, target.slot)
        path = target.health_path or chosen.path
        if not path and target.protocol == "http":
            return await accepts_connections(address, target.port, timeout_seconds=chosen.timeout_seconds)
        reply = await send_probe(
            address,
            target.port,
            path,
            Visitor.of(self._settings.public, target.slug),
            protocol=target.protocol,
            timeout_seconds=chosen.timeout_seconds,
        )
        return reply is not None and reply.is_success

    async def _act(self, target: CheckedInstance, streak: Streak) -> bool:
        """Restart the app, or record its recovery, when its streak is long enough. Return True for a restart."""
        chosen = self._settings.health
        change = judge(
            streak,
            was_unhealthy=target.is_unhealthy,
            failures=chosen.failures,
            successes=chosen.successes,
        )
        if change is HealthChange.UNHEALTHY:
            await self._restart(target, streak)
        elif change is HealthChange.RECOVERED:
            async with self._database.transaction() as connection:
                if await instances.set_healthy(connection, target.instance):
                    await events.append(connection, "app.recovered", tenant=target.tenant, app=target.app)
                    log.info("app.recovered", app=target.app, instance=target.instance)
        return change is HealthChange.UNHEALTHY

    async def _restart(self, target: CheckedInstance, streak: Streak) -> None:
        """Enqueue the restart, which happens under the app's lock.

        The restart is counted as a crash, not the failed check: while an engine starts, many apps fail their checks.
        """
        log.info("app.unhealthy", app=target.app, instance=target.instance, failures=streak.failures)
        reason = f"The app did not answer {streak.failures} health checks in a row."
        async with self._database.transaction() as connection:
            await instances.set_unhealthy(connection, target.instance)
            await events.append(
                connection, "app.unhealthy", tenant=target.tenant, app=target.app, data={"reason": reason}
            )
            arguments = RepairArguments(target.instance, reason)
            await jobs.enqueue_for_app(connection, Kind.REPAIR, target.app, target.tenant, arguments)
