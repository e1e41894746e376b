"""Job `stop`: the route goes first and is confirmed gone, then the containers."""

from __future__ import annotations

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.hosts import hosts_of
from stackyn_server.pipeline.teardown.retire import retire_present
from stackyn_server.store import apps, deployments, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Mover, StepResults


class RouteRemover(JobHandler):
    async def _withdraw(self, job: JobRun, app: App) -> None:
        """Withdraw the app's route, have the proxy confirm it, and refuse the requests that it holds."""
        async with self._transaction(job) as connection:
            await routes.withdraw(connection, app.id)
            hosts = await hosts_of(connection, self._settings, app)
        crash_point("withdraw.wanted")
        await job.still_leading()
        await self._ingress.apply(dict.fromkeys(hosts, None))
        crash_point("withdraw.confirmed")
        self._held_requests.refuse(app.id)  # the app does not wake up for them


class Stop(RouteRemover):
    """The handler of `stop` jobs. The release and its image stay, for `start`."""

    async def __call__(self, job: JobRun) -> None:
        async with self._database.connection() as connection:
            app = await apps.get(connection, AppId(int(job.job.subject)))
        if app is None or app.desired is not Desired.STOPPED:
            return  # started again, or deleted, in the meantime
        await self._withdraw(job, app)
        async with self._transaction(job) as connection:
            await retire_all(connection, job, app, self._settings.apps.drain_seconds, reason=app.stop_reason)
            await job.finish(connection)


async def retire_all(
    connection: Connection, job: JobRun, app: App, drain_seconds: float, *, reason: str | None = None
) -> None:
    """Mark the app's live deployment as stopped, for `reason`, and have all its instances drained and retired."""
    live = await deployments.live_of_app(connection, app.id)
    if live is not None:
        mover, results = Mover(job.epoch, job.moved_by), StepResults(waiting_reason=reason)
        await deployments.advance(connection, live, Phase.STOPPED, mover, results)
    await retire_present(connection, job, app, drain_seconds)
