"""Job `remove`: the route of a deleted app goes first and is confirmed gone, then its containers, then the rest."""

from __future__ import annotations

from stackyn_server.domain.ids import AppId
from stackyn_server.domain.jobs import Kind
from stackyn_server.engine import images
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.teardown.stop import RouteRemover, retire_all
from stackyn_server.store import apps, events, jobs


class Remove(RouteRemover):
    """The handler of `remove` jobs. One row of a deleted app stays: it reserves the app's addresses."""

    async def __call__(self, job: JobRun) -> None:
        async with self._database.connection() as connection:
            app = await apps.get(connection, AppId(int(job.job.subject)))
        if app is None or app.torn_down_at is not None:
            return
        if app.route_gone_at is None:
            await self._withdraw(job, app)
            async with self._transaction(job) as connection:
                await apps.set_route_gone(connection, app.id)
                await jobs.wake_waiting_for(connection, Kind.RELEASE, str(app.id))
            crash_point("remove.route_gone")
        async with self._transaction(job) as connection:
            await retire_all(connection, job, app, self._settings.apps.stop_grace_seconds)
            await jobs.shorten_retire_deadlines(connection, app.id, 0)
            has_other_work = await apps.has_other_work(connection, app.id, job.job.id)
            if has_other_work:  # at least one job for each container
                reason = "Its containers are still being taken down."
                return await job.wait(connection, None, reason, after_app_work=True)
        crash_point("remove.containers_gone")
        await job.still_leading()
        for image in await images.list_of_app(self._engine, app.id):
            await images.remove(self._engine, image)
        crash_point("remove.images_gone")
        async with self._transaction(job) as connection:
            await apps.empty(connection, app.id)
            await events.append(connection, "app.removed", tenant=app.tenant, app=app.id)
            await job.finish(connection)
        return None
