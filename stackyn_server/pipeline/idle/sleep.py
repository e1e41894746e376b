"""Job `sleep`: put an unused app to sleep. Hold its requests in the same slot, wait for open ones, stop the instance.

Until the container is told to end, any request cancels the sleep: the instance is still there and answers it.
"""

from __future__ import annotations

import asyncio

import structlog

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.ids import AppId
from stackyn_server.engine import containers, sockets
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.hosts import confirm_route, hosts_of
from stackyn_server.pipeline.idle.idle_app import set_idle
from stackyn_server.pipeline.teardown.drain import until_quiet
from stackyn_server.store import apps, events, instances, releases, routes
from stackyn_server.store.apps import App
from stackyn_server.store.instances import Instance, InstanceState
from stackyn_server.store.routes import RouteState

log = structlog.get_logger()


class Sleep(JobHandler):
    """The handler of `sleep` jobs."""

    async def __call__(self, job: JobRun) -> None:
        async with self._database.connection() as connection:
            app = await apps.get(connection, AppId(int(job.job.subject)))
            route = await routes.get(connection, app.id) if app else None
            instance = await instances.of_route(connection, app.id) if app else None
        if app is None or route is None or instance is None or app.desired is not Desired.RUNNING:
            return
        if instance.state is InstanceState.DRAINING and route.state is RouteState.HELD:
            await self._stop(job, app, instance)  # an earlier server has told it to end
        elif instance.state is InstanceState.UP and route.state in (RouteState.HELD, RouteState.SERVING):
            # An interrupted sleep goes on while the route is held; its interrupted cancellation goes on after that.
            may_sleep = route.state is RouteState.HELD or job.job.attempt == 1
            if may_sleep and await self._is_quiet(job, app, instance):
                await self._stop(job, app, instance)
            else:
                await self._stay_awake(job, app, instance)

    async def _is_quiet(self, job: JobRun, app: App, instance: Instance) -> bool:
        """Hold the route, confirmed, and wait until every connection has ended. False as soon as a request comes."""
        state = await containers.find(self._engine, instance.id)
        async with self._database.connection() as connection:
            release = await releases.get(connection, instance.release)
        if state is None or not state.running or release is None:
            return False
        accepted = await asyncio.to_thread(sockets.count_accepted, state.pid)
        if not self._held_requests.is_used(app.id):
            self._held_requests.pass_all(app.id)
        async with self._transaction(job) as connection:
            await routes.hold(connection, app.id, instance.id)
            hosts = await hosts_of(connection, self._settings, app)
        await job.still_leading()
        try:
            await confirm_route(self._ingress, hosts, instance.id)
        except NotConfirmed as error:
            log.warning("sleep.not_held", app=app.id, reason=error.message)
            return False
        crash_point("sleep.held")
        is_quiet = await until_quiet(
            state.pid,
            release.port,
            self._settings.apps.drain_seconds,
            is_disturbed=lambda: self._held_requests.is_used(app.id) or job.cancel.is_set(),
        )
        # A request may have come before the proxy had read that the route is held.
        is_unused = await asyncio.to_thread(sockets.count_accepted, state.pid) == accepted
        return is_quiet and is_unused and self._held_requests.hold_if_unused(app.id)

    async def _stop(self, job: JobRun, app: App, instance: Instance) -> None:
        """Record the instance as draining. The sleep can't be cancelled any more: the next request is a cold start."""
        async with self._transaction(job) as connection:
            await instances.set_draining(connection, instance.id)
        crash_point("sleep.stopping")
        await job.still_leading()
        last = await self._take_down(instance.id)
        crash_point("sleep.stopped")
        async with self._transaction(job) as connection:
            await set_idle(connection, app, instance, last)
            await events.append(connection, "app.slept", tenant=app.tenant, app=app.id)
            await job.finish(connection)

    async def _stay_awake(self, job: JobRun, app: App, instance: Instance) -> None:
        """Cancel the sleep: a request came, and the running instance answers it."""
        self._held_requests.pass_all(app.id)
        async with self._transaction(job) as connection:
            await routes.serve(connection, app.id, instance.id)
            hosts = await hosts_of(connection, self._settings, app)
        crash_point("sleep.aborted")
        await job.still_leading()
        await confirm_route(self._ingress, hosts, instance.id)
        self._held_requests.forget(app.id)
