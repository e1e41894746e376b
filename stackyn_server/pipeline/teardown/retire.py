"""Job `retire`: let an instance finish its requests, then take it down and keep its last lines."""

from __future__ import annotations

from datetime import datetime

from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.jobs import Kind, RetireArguments
from stackyn_server.engine import containers
from stackyn_server.jobs.run import JobRun
from stackyn_server.pause import is_set_within
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.teardown.drain import LOOK_SECONDS, until_quiet
from stackyn_server.store import instances, jobs, releases
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection


class Retire(JobHandler):
    """The handler of `retire` jobs. A container without a row is taken down too."""

    async def __call__(self, job: JobRun) -> None:
        subject = InstanceId(int(job.job.subject))
        async with self._database.connection() as connection:
            instance = await instances.get(connection, subject)
            release = await releases.get(connection, instance.release) if instance else None
        state = await containers.find(self._engine, subject)
        crash_point("retire.draining")
        if state is not None and state.running and release is not None:
            await self._drain(job, state.pid, release.port)
        crash_point("retire.stopping")
        await job.still_leading()
        last = await self._take_down(subject)
        crash_point("retire.removed")
        async with self._transaction(job) as connection:
            await last.record(connection, subject)
            await job.finish(connection)

    async def _drain(self, job: JobRun, pid: int, port: int) -> None:
        """Wait until the app has no connection, at most until the drain's deadline. A stop or delete may shorten it."""

        def seconds_left(deadline: float) -> float:
            return deadline - job.now().timestamp()

        async def wait_for_new_limit() -> float | None:
            if not await is_set_within(job.deadline_changed, LOOK_SECONDS):
                return None
            async with self._database.connection() as connection:
                return seconds_left(RetireArguments.parse(await job.read_arguments(connection)).deadline)

        limit = seconds_left(RetireArguments.parse(job.job.arguments).deadline)
        await until_quiet(pid, port, limit, next_limit=wait_for_new_limit)


async def enqueue_retire(
    connection: Connection, app: App, instance: instances.Instance, *, now: datetime, drain_seconds: float
) -> None:
    """Have a draining instance taken down, at the latest `drain_seconds` after `now` plus the stop grace."""
    await jobs.enqueue(
        connection,
        Kind.RETIRE,
        instance.id,
        app=app.id,
        tenant=app.tenant,
        slot=instance.slot,
        arguments=RetireArguments(now.timestamp() + drain_seconds),
    )


async def retire_present(
    connection: Connection,
    job: JobRun,
    app: App,
    drain_seconds: float,
    *,
    apart_from: InstanceId | None = None,
) -> None:
    """Have every instance of the app that holds a slot retired, except `apart_from`."""
    for instance in await instances.present_of_app(connection, app.id):
        if instance.id != apart_from:
            await instances.set_draining(
                connection, instance.id
            )  # the sleep that did so may have been cancelled
            await enqueue_retire(connection, app, instance, now=job.now(), drain_seconds=drain_seconds)
