"""Job `retire`: let an instance finish its requests, then take it away and keep its last lines."""

from __future__ import annotations

import asyncio
from datetime import datetime

from stackyn_server.config import Settings
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.jobs import Kind, RetireArguments
from stackyn_server.engine import containers, sockets
from stackyn_server.engine.client import Engine
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.teardown.take_down import take_down
from stackyn_server.store import instances, jobs, releases
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.instances import Instance

_LOOK_SECONDS = 1.0  # zero connections must be seen twice, this far apart


class Retire:
    """The handler of `retire` jobs. A container that no row accounts for any more is taken down all the same."""

    def __init__(self, settings: Settings, database: Database, engine: Engine) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine

    async def __call__(self, run: JobRun) -> None:
        subject = InstanceId(int(run.job.subject))
        async with self._database.connection() as connection:
            instance = await instances.get(connection, subject)
            release = await releases.get(connection, instance.release) if instance else None
        state = await containers.find(self._engine, subject)
        crash_point("retire.draining")
        if state is not None and state.running and release is not None:
            await self._drain(run, state.pid, release.port)
        crash_point("retire.stopping")
        await run.still_leading()
        lines, last = await take_down(self._engine, subject, self._settings.apps.stop_grace_seconds)
        crash_point("retire.removed")
        async with self._database.transaction() as connection:
            await instances.set_gone(connection, subject, last_lines=lines, last_state=last)
            await run.finish(connection)

    async def _drain(self, run: JobRun, pid: int, port: int) -> None:
        """Wait until no connection to the app is left, or its time is up (a stop or delete shortens it)."""
        quiet, deadline = 0, RetireArguments.parse(run.job.arguments).deadline
        while quiet < 2 and run.now().timestamp() < deadline:
            open_connections = await asyncio.to_thread(sockets.count_connections, pid, port)
            quiet = quiet + 1 if open_connections == 0 else 0
            if quiet < 2 and await self._is_hastened(run):
                async with self._database.connection() as connection:
                    deadline = RetireArguments.parse(await run.read_arguments(connection)).deadline

    @staticmethod
    async def _is_hastened(run: JobRun) -> bool:
        """Let a while pass; True as soon as a stop or delete has made the deadline earlier."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                return await run.deadline_changed.wait()
        except TimeoutError:
            return False


async def enqueue_retire(
    connection: Connection, app: App, instance: Instance, *, now: datetime, drain_seconds: float
) -> None:
    """Have a draining instance taken away, at the latest `drain_seconds` after `now` plus the stop grace."""
    await jobs.enqueue(
        connection,
        Kind.RETIRE,
        instance.id,
        app=app.id,
        tenant=app.tenant,
        slot=instance.slot,
        arguments=RetireArguments(now.timestamp() + drain_seconds),
    )
