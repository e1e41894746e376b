"""What the pipeline's job handlers share: the parts of the server that they act on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.ingress.driver import Ingress
from stackyn_server.jobs.run import JobRun
from stackyn_server.journal.journal import Journal
from stackyn_server.journal.runtime_log_keeper import RuntimeLogKeeper
from stackyn_server.pipeline.hosts import confirm_route
from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.pipeline.rollout.memory_reservations import MemoryReservations
from stackyn_server.pipeline.teardown.take_down import LastOutput, take_down
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import installation
from stackyn_server.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class PipelineContext:
    """`ingress_ready` is set when the proxy has served our routes once since this server started."""

    settings: Settings
    database: Database
    engine: Engine
    ingress: Ingress
    ingress_ready: asyncio.Event
    held_requests: HeldRequests
    reservations: MemoryReservations
    journal: Journal
    log_keeper: RuntimeLogKeeper
    sealer: Sealer


class JobHandler:
    def __init__(self, context: PipelineContext) -> None:
        self._settings = context.settings
        self._database = context.database
        self._engine = context.engine
        self._ingress = context.ingress
        self._ingress_ready = context.ingress_ready
        self._held_requests = context.held_requests
        self._reservations = context.reservations
        self._journal = context.journal
        self._log_keeper = context.log_keeper
        self._sealer = context.sealer

    @asynccontextmanager
    async def _transaction(self, job: JobRun) -> AsyncIterator[Connection]:
        """Open a transaction of this job, fenced by its epoch. Raises `LeadershipLost`."""
        async with self._database.transaction() as connection:
            await installation.fence(connection, job.epoch)
            yield connection

    async def _start_container(self, spec: ContainerSpec) -> str:
        """Start the container of an instance, and return its id. One that has ended is replaced: what it wrote is
        stored before. Raises what `containers.start` raises."""
        ended = await containers.find(self._engine, spec.instance)
        if ended is not None and not ended.running:
            await self._log_keeper.keep(spec.instance, ended.id)
        return await containers.start(self._engine, spec)

    async def _take_down(self, instance: InstanceId) -> LastOutput:
        """Stop and remove the instance's container, and store what it wrote. Idempotent."""
        grace_seconds = self._settings.apps.stop_grace_seconds
        return await take_down(self._engine, instance, grace_seconds, self._log_keeper)

    async def _refuse_other_port(self, app: AppId, hosts: Iterable[str], instance: InstanceId) -> None:
        """Publish the port of an instance that listens elsewhere than held requests were sent to, and refuse those
        that wait: they would reach a port where nobody listens. Requests that arrive later wait."""
        await confirm_route(self._ingress, hosts, instance)
        self._held_requests.refuse_waiting(app)
