"""Health checks: serving apps of plans that have them are asked on a period, as a candidate is before it serves. One
that does not answer several times in a row is started again, which counts like a crash, and its recovery is noticed."""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.health import HealthChange, Streak, judge
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.jobs import Kind
from stackyn_server.domain.seats import address_of
from stackyn_server.engine.answering import Visitor, accepts, ask
from stackyn_server.errors import StackynError
from stackyn_server.reconcile.turns import in_turns
from stackyn_server.store import events, instances, work
from stackyn_server.store.database import Database
from stackyn_server.store.instances import Checked

log = structlog.get_logger()


class HealthChecks:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._streaks: dict[InstanceId, Streak] = {}
        self.answered: Counter[InstanceId] = Counter()  # each was a connection of ours

    async def run(self) -> None:
        """Ask on the period. Run it as a supervised task; it needs no engine."""
        while True:
            try:
                await self.ask()
            except StackynError as error:
                log.warning("health.unasked", reason=error.message)
            await asyncio.sleep(self._settings.health.interval_seconds)

    async def ask(self) -> None:
        """Ask each app once. Raises `DatabaseUnavailable`."""
        plans = [name for name, plan in self._settings.plans.items() if plan.health_checks]
        async with self._database.connection() as connection:
            targets = await instances.to_check(connection, plans)
        answered = await in_turns(targets, self._answers, at_once=self._settings.health.at_once)
        streaks = {}
        for target, is_answer in zip(targets, answered, strict=True):
            self.answered[target.instance] += is_answer
            streak = self._streaks.get(target.instance, Streak()).followed_by(is_answer)
            is_restarted = await self._act(target, streak)
            streaks[target.instance] = Streak() if is_restarted else streak
        self._streaks = streaks
        self.answered = Counter({instance: self.answered[instance] for instance in streaks})

    async def _answers(self, target: Checked) -> bool:
        """With a path, a visitor's request must be answered with a success; without one, accepting a connection is
        enough: nobody said that the app's home page may be asked for every few seconds."""
        chosen = self._settings.health
        address = address_of(self._settings.network.subnet, target.seat, target.slot)
        path = target.health_path or chosen.path
        if not path and target.protocol == "http":
            return await accepts(address, target.port, timeout_seconds=chosen.timeout_seconds)
        reply = await ask(
            address,
            target.port,
            path,
            Visitor.of(self._settings.public, target.slug),
            protocol=target.protocol,
            timeout_seconds=chosen.timeout_seconds,
        )
        return reply is not None and reply.is_success

    async def _act(self, target: Checked, streak: Streak) -> bool:
        """Do what the streak asks for; True when the app is to be started again."""
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

    async def _restart(self, target: Checked, streak: Streak) -> None:
        """Have it started again under its app's lock. What is started again is counted, not what does not answer: an
        engine that is starting has many apps that don't."""
        log.info("app.unhealthy", app=target.app, instance=target.instance, failures=streak.failures)
        reason = f"The app did not answer {streak.failures} health checks in a row."
        async with self._database.transaction() as connection:
            await instances.set_unhealthy(connection, target.instance)
            await events.append(
                connection, "app.unhealthy", tenant=target.tenant, app=target.app, data={"reason": reason}
            )
            arguments = {"restart": target.instance, "reason": reason}
            await work.for_app(connection, Kind.REPAIR, target.app, target.tenant, arguments)
