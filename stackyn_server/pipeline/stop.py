"""Jobs `stop` and `remove`: the route goes first and is confirmed gone, then the containers, then (remove) the rest."""

from __future__ import annotations

from datetime import timedelta

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId
from stackyn_server.engine import images
from stackyn_server.ingress.driver import Ingress
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.crashpoints import crash_point
from stackyn_server.pipeline.retire import enqueue_retire
from stackyn_server.pipeline.routing import hosts_of
from stackyn_server.pipeline.story import Story
from stackyn_server.store import apps, deployments, events, instances, jobs, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Mover

_LOOK_AGAIN_SECONDS = 0.5


class Stop(Story):
    """The handler of `stop` jobs. The release and its image stay, for `start`."""

    async def __call__(self, run: JobRun) -> None:
        async with self._database.connection() as connection:
            app = await apps.get(connection, AppId(int(run.job.subject)))
        if app is None or app.desired is not Desired.STOPPED:
            return  # started again, or deleted, in the meantime
        await withdraw(run, self._settings, self._database, self._ingress, app)
        self._gates.refuse(app.id)  # who waits for it to wake up waits in vain
        async with self._database.transaction() as connection:
            await retire_all(connection, run, app, self._settings.apps.drain_seconds)
            await run.finish(connection)


class Remove(Story):
    """The handler of `remove` jobs: of a deleted app nothing stays but a tombstone that keeps its seat."""

    async def __call__(self, run: JobRun) -> None:
        async with self._database.connection() as connection:
            app = await apps.get(connection, AppId(int(run.job.subject)))
        if app is None or app.torn_down_at is not None:
            return
        await withdraw(run, self._settings, self._database, self._ingress, app)
        self._gates.refuse(app.id)  # who waits for it to wake up waits in vain
        async with self._database.transaction() as connection:
            await retire_all(connection, run, app, self._settings.apps.stop_grace_seconds)
            await jobs.shorten_retire_deadlines(connection, app.id, 0)
            busy = await apps.has_other_work(connection, app.id, run.job.id)
            if busy or await instances.present_of_app(connection, app.id):
                soon = run.now() + timedelta(seconds=_LOOK_AGAIN_SECONDS)
                return await run.retry(connection, soon, "Its containers are still being taken down.")
        crash_point("remove.containers_gone")
        await run.still_leading()
        for image in await images.list_of_app(self._engine, app.id):
            await images.remove(self._engine, image)
        crash_point("remove.images_gone")
        async with self._database.transaction() as connection:
            await apps.empty(connection, app.id)
            await events.append(connection, "app.removed", tenant=app.tenant, app=app.id)
            await run.finish(connection)
        return None


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
