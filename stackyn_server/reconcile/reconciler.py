"""One comparison of the rows with the engine, and the jobs that repair what differs."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.domain.jobs import Kind, RetireArguments
from stackyn_server.domain.seats import address_of
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.http_probe import accepts_connections
from stackyn_server.engine.labels import Role
from stackyn_server.reconcile.bounded_map import bounded_map
from stackyn_server.reconcile.compare import DesiredInstance, Differences, compare
from stackyn_server.store import apps, instances, jobs
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.instances import CheckedInstance

log = structlog.get_logger()

# An address whose network is gone answers nothing: 500 of them are looked at within 4 s.
_CONNECTIONS_AT_ONCE = 128
_CONNECT_SECONDS = 1.0


class Reconciler:
    """Changes no container itself: it enqueues `repair` and `retire` jobs, which look again under their lock."""

    def __init__(
        self,
        settings: config.ReconcileSettings,
        network: config.NetworkSettings,
        database: Database,
        engine: Engine,
        is_reachable: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_reachable` says whether the proxy accepts connections: without it nobody reaches an app that runs."""
        self._settings = settings
        self._network = network
        self._database = database
        self._engine = engine
        self._is_reachable = is_reachable
        self._back_since: dict[InstanceId, float] = {}

    @property
    def is_settling(self) -> bool:
        """True while an instance runs again but is not yet recorded as running: compare again soon."""
        return bool(self._back_since)

    def instance_ended(self, instance: InstanceId) -> None:
        """Restart the instance's `steady_seconds`: it may run again before the next comparison."""
        self._back_since.pop(instance, None)

    async def compare(self) -> Differences:
        """Compare once and enqueue the repairs. Raises `EngineUnavailable`, `DatabaseUnavailable`.

        The containers are listed before the rows are read, to find orphans, and again afterwards, to find lost
        instances. In any other order, an instance that was just created would be taken for one of the two.
        """
        listed_before = await self._containers()
        async with self._database.connection() as connection:
            desired = [DesiredInstance(*row) for row in await instances.wanted_up(connection)]
            with_slot = await instances.holding_slots(connection)
        listed_after = await self._containers()
        differences = compare(
            desired,
            with_slot,
            listed_before=listed_before,
            listed_after=listed_after,
            is_reachable=self._is_reachable(),
        )
        await self._record(differences)
        if differences.lost or differences.orphans:
            log.warning("reconcile.found", lost=differences.lost, orphans=differences.orphans)
            async with self._database.transaction() as connection:
                for app in differences.lost:
                    await self._repair(connection, app)
                for instance in differences.orphans:
                    await jobs.enqueue(connection, Kind.RETIRE, instance, arguments=RetireArguments(0))
        return differences

    async def compare_without_engine(self) -> None:
        """Record apps as down that accept no connection. Works while the engine is unavailable."""
        async with self._database.connection() as connection:
            targets = await instances.to_check(connection, None, busy_too=True)
        accepting = await bounded_map(
            targets, self._accepts, at_once=_CONNECTIONS_AT_ONCE, seconds=_CONNECT_SECONDS
        )
        down = [
            target.instance for target, is_up in zip(targets, accepting, strict=True) if is_up is not True
        ]
        if down:
            async with self._database.transaction() as connection:
                await instances.set_down(connection, down)

    async def _accepts(self, target: CheckedInstance) -> bool:
        if not self._is_reachable():
            return False
        address = address_of(self._network.subnet, target.seat, target.slot)
        return await accepts_connections(address, target.port, timeout_seconds=_CONNECT_SECONDS)

    async def _record(self, differences: Differences) -> None:
        """Record a stopped instance at once, and one that runs again after `steady_seconds`.

        Without the delay, an app that crashes again and again would be shown as running between two crashes.
        """
        now = time.monotonic()
        self._back_since = {instance: self._back_since.get(instance, now) for instance in differences.back}
        steady = [
            instance
            for instance, since in self._back_since.items()
            if now - since >= self._settings.steady_seconds
        ]
        if differences.down or steady:
            async with self._database.transaction() as connection:
                await instances.set_down(connection, differences.down)
                await instances.set_back(connection, steady)
        for instance in steady:
            self._back_since.pop(instance, None)  # it may have ended again meanwhile

    async def _containers(self) -> dict[InstanceId, str]:
        return {
            container.instance: container.state
            for container in await containers.list_ours(self._engine, seconds=self._settings.listing_seconds)
            if container.role == Role.APP and container.instance is not None
        }

    @staticmethod
    async def _repair(connection: Connection, app_id: AppId) -> None:
        app = await apps.get(connection, app_id)
        await jobs.enqueue_for_app(connection, Kind.REPAIR, app_id, app.tenant if app else None)
