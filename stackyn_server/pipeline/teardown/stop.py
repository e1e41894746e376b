"""Job `stop`: the route goes first and is confirmed gone, then the containers."""

from __future__ import annotations

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId
from stackyn_server.ingress.driver import Ingress
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.hosts import hosts_of
from stackyn_server.pipeline.teardown.retire import enqueue_retire
from stackyn_server.store import apps, deployments, instances, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Mover


class Stop(JobHandler):
    """The handler of `stop` jobs. The release and its image stay, for `start`."""

    async def __call__(self, run: JobRun) -> None:
        async with self._database.connection() as connection:
            app = await apps.get(connection, AppId(int(run.job.subject)))
        if app is None or app.desired is not Desired.STOPPED:
            return  # started again, or deleted, in the meantime
        await withdraw(run, self._settings, self._database, self._ingress, app)
        self._held_requests.refuse(app.id)  # who waits for it to wake up waits in vain
        async with self._database.transaction() as connection:
            await retire_all(connection, run, app, self._settings.apps.drain_seconds)
            await run.finish(connection)


async def withdraw(run: JobRun, settings: Settings, database: Database, ingress: Ingress, app: App) -> None:
    """Take the app's route away and have the proxy confirm that nobody answers for its hosts any more."""
    async with database.transaction() as connection:
        await routes.withdraw(connection, app.id)
        hosts = await hosts_of(connection, settings, app)
    crash_point("withdraw.wanted")
    await run.still_leading()
    await ingress.apply(dict.fromkeys(hosts, None))
    crash_point("withdraw.confirmed")


async def retire_all(connection: Connection, run: JobRun, app: App, drain_seconds: float) -> None:
    """Nothing of the app serves any more: its live deployment has been replaced by nothing, its containers drain."""
    live = await deployments.live_of_app(connection, app.id)
    if live is not None:
        await deployments.advance(connection, live, Phase.REPLACED, Mover(run.epoch, run.moved_by))
    for instance in await instances.present_of_app(connection, app.id):
        if await instances.set_draining(connection, instance.id):
            await enqueue_retire(connection, app, instance, now=run.now(), drain_seconds=drain_seconds)
