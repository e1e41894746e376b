"""The comparison itself: at start, after engine events, and on a period, because a stream alone is never trusted."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.domain.jobs import Kind
from stackyn_server.domain.seats import address_of
from stackyn_server.engine import containers
from stackyn_server.engine.answering import accepts
from stackyn_server.engine.client import Engine
from stackyn_server.engine.labels import Role
from stackyn_server.reconcile.compare import Findings, Wanted, compare
from stackyn_server.reconcile.turns import in_turns
from stackyn_server.store import apps, instances, jobs, work
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.instances import Checked

log = structlog.get_logger()

_DIALS_AT_ONCE = 16
_DIAL_SECONDS = 1.0


class Reconciler:
    """Never touches an instance itself: `repair` and `retire` jobs look again under their lock."""

    def __init__(
        self,
        settings: config.ReconcileSettings,
        network: config.NetworkSettings,
        database: Database,
        engine: Engine,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._network = network
        self._database = database
        self._engine = engine
        self._clock = clock
        self._back_since: dict[InstanceId, float] = {}

    @property
    def is_settling(self) -> bool:
        """True while something runs again and has yet to show that it stays: look again soon."""
        return bool(self._back_since)

    def ended(self, instance: InstanceId) -> None:
        """It has ended, even if it is back before anybody looks."""
        self._back_since.pop(instance, None)

    async def look(self) -> Findings:
        """Compare once and enqueue what has to be done. Raises `EngineUnavailable`, `DatabaseUnavailable`.

        The engine is listed before the rows are read, for orphans, and again after, for lost ones: in any other
        order something young would be taken for one of them.
        """
        earlier = await self._containers()
        async with self._database.connection() as connection:
            wanted = [Wanted(*row) for row in await instances.wanted_up(connection)]
            known = await instances.holding_slots(connection)
        later = await self._containers()
        findings = compare(wanted, known, earlier=earlier, later=later)
        await self._record(findings)
        if findings.lost or findings.orphans:
            log.warning("reconcile.found", lost=findings.lost, orphans=findings.orphans)
            async with self._database.transaction() as connection:
                for app in findings.lost:
                    await self._repair(connection, app)
                for instance in findings.orphans:
                    await jobs.enqueue(connection, Kind.RETIRE, instance, arguments={"deadline": 0})
        return findings

    async def look_without_engine(self) -> None:
        """The engine can't be asked: an app that does not even accept a connection is down, whatever the reason."""
        async with self._database.connection() as connection:
            targets = await instances.to_check(connection, None)
        answered = await in_turns(targets, self._accepts, at_once=_DIALS_AT_ONCE)
        down = [one.instance for one, is_up in zip(targets, answered, strict=True) if not is_up]
        if down:
            async with self._database.transaction() as connection:
                await instances.set_down(connection, down)

    async def _accepts(self, one: Checked) -> bool:
        address = address_of(self._network.subnet, one.seat, one.slot)
        return await accepts(address, one.port, timeout_seconds=_DIAL_SECONDS)

    async def _record(self, findings: Findings) -> None:
        """Write down at once what is down, and what is back when it has stayed for `steady_seconds`: an app that
        crashes all the time must not be shown as running whenever it is about to crash again."""
        now = self._clock()
        self._back_since = {instance: self._back_since.get(instance, now) for instance in findings.back}
        steady = [
            instance
            for instance, since in self._back_since.items()
            if now - since >= self._settings.steady_seconds
        ]
        if findings.down or steady:
            async with self._database.transaction() as connection:
                await instances.set_down(connection, findings.down)
                await instances.set_back(connection, steady)
        for instance in steady:
            del self._back_since[instance]

    async def _containers(self) -> dict[InstanceId, str]:
        listed = await containers.list_ours(self._engine)
        return {
            one.instance: one.state for one in listed if one.role == Role.APP and one.instance is not None
        }

    @staticmethod
    async def _repair(connection: Connection, app: AppId) -> None:
        found = await apps.get(connection, app)
        await work.for_app(connection, Kind.REPAIR, app, found.tenant if found else None)
