"""The swap in place: where the memory for two releases is missing, the old one ends before the new one starts.

The route is held for the candidate's slot all the while. Whether a release is swapped in is not remembered anywhere
else: it is as long as the held route leads to its candidate.
"""

from __future__ import annotations

import structlog

from stackyn_server.domain.failures import Failure, FailureCode, TransientFailure
from stackyn_server.domain.memory import RolloutStrategy, choose_strategy, has_room
from stackyn_server.engine import containers
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.hosts import hosts_of
from stackyn_server.pipeline.idle import idle_app
from stackyn_server.pipeline.rollout import candidate
from stackyn_server.pipeline.run import Also, DeploymentRun
from stackyn_server.pipeline.teardown.drain import until_quiet
from stackyn_server.pipeline.teardown.take_down import take_down
from stackyn_server.store import accounts, apps, instances, releases, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Deployment
from stackyn_server.store.instances import Instance, InstanceState
from stackyn_server.store.routes import Route, RouteState

log = structlog.get_logger()


class NoMemory(TransientFailure):
    """This machine hasn't the memory now; it may have it later."""

    def __init__(self) -> None:
        super().__init__(
            Failure(
                FailureCode.NO_MEMORY,
                "This server has not enough free memory to start the app right now.",
                "Deploy again later, give the app less memory in its settings, or ask the server's operator.",
            )
        )


class Swap(JobHandler):
    """What a release story does otherwise when it swaps in place."""

    async def way(self, run: DeploymentRun, app: App) -> RolloutStrategy:
        """Decide how the deployment's release takes over, and promise it the memory. Raises `NoMemory`."""
        reserve = self._settings.apps.memory_reserve_mb
        async with self._database.connection() as connection:
            wanted = await candidate.memory_mb(connection, app, run.deployment)
            route = await routes.get(connection, app.id)
            serving = await instances.serving(connection, app.id)
            release = await releases.get(connection, serving.release) if serving else None
            account = await accounts.get(connection, app.tenant)
        is_held = route is not None and route.state is RouteState.HELD
        if serving is not None and is_held and serving.state is InstanceState.UP:
            await self._keep_awake(app, serving)
            is_held = False
        plans = self._settings.plans
        plan = plans.get(account.plan if account else "") or plans[self._settings.billing.default_plan]
        may_hold = self._ingress.can_hold and not plan.zero_downtime
        available = await self._reservations.available_mb(app.id)
        if serving is not None and is_held:
            is_mine = serving.deployment == run.deployment.id
            # Requests may be held for that slot: whoever comes up must come up there.
            way = (
                RolloutStrategy.IN_PLACE
                if is_mine or has_room(available, reserve, wanted)
                else RolloutStrategy.WAIT
            )
        else:
            serving_mb = release.memory_mb if release else None
            way = choose_strategy(available, reserve, wanted, serving_mb, may_hold=may_hold)
        if way is RolloutStrategy.WAIT:
            raise NoMemory
        self._reservations.reserve(app.id, wanted)
        return way

    async def need_room_beside(self, run: DeploymentRun, app: App) -> None:
        """Promise the memory for a release command, which runs beside what serves. Raises `NoMemory`.

        Where the release itself will take the other's place, the command may use this machine's reserve meanwhile, but
        not what isn't there.
        """
        if await self.way(run, app) is not RolloutStrategy.IN_PLACE:
            return
        async with self._database.connection() as connection:
            wanted = await candidate.memory_mb(connection, app, run.deployment)
        if not has_room(await self._reservations.available_mb(app.id), 0, wanted):
            raise NoMemory

    async def free_held_slot(self, app: App) -> Instance | None:
        """Take away what has the slot that requests are held for; its row is the caller's. None for a served app."""
        async with self._database.connection() as connection:
            route = await routes.get(connection, app.id)
            instance = await instances.serving(connection, app.id)
        if instance is None or route is None or route.state is not RouteState.HELD:
            return None
        await take_down(self._engine, instance.id, self._settings.apps.stop_grace_seconds)
        return instance

    async def is_in_place(self, instance: Instance) -> bool:
        async with self._database.connection() as connection:
            return _leads_to(await routes.get(connection, instance.app), instance)

    async def stop_previous(self, run: DeploymentRun, app: App, instance: Instance) -> None:
        """Hold the requests, confirmed; let what is in progress end; stop what was there. Safe to repeat.

        Raises `NotConfirmed`, with everything as it was before.
        """
        self._held_requests.hold(app.id)
        async with self._database.connection() as connection:
            route = await routes.get(connection, app.id)
            old = await instances.get(connection, route.previous) if route and route.previous else None
            hosts = await hosts_of(connection, self._settings, app)
        await run.job.still_leading()
        if old is None:
            if await self._port_moved(app, instance):
                await self._ingress.apply(dict.fromkeys(hosts, instance.id))
                self._held_requests.refuse(app.id)  # they were given the address of another port
                self._held_requests.hold(app.id)
            return
        if old.state is InstanceState.UP:
            run.write_log(
                "There is not enough memory to run both releases at once: "
                "requests wait while this one takes the place of the other."
            )
            try:
                await self._ingress.apply(dict.fromkeys(hosts, instance.id))
            except NotConfirmed:
                await self._go_back(run, app, old)
                raise
            crash_point("swap.held")
            await self._drain(run, old)
            async with self._database.transaction() as connection:
                await instances.set_draining(connection, old.id)
        crash_point("swap.stopping")
        await self._stop(app, old)
        crash_point("swap.stopped")

    async def turn_to_port(self, app: App, instance: Instance) -> None:
        """The candidate listens elsewhere than the held requests were sent to: they are refused, others may come."""
        async with self._database.connection() as connection:
            hosts = await hosts_of(connection, self._settings, app)
        await self._ingress.apply(dict.fromkeys(hosts, instance.id))
        self._held_requests.refuse(app.id)
        self._held_requests.hold(app.id)

    def pass_held_requests(self, app: App) -> None:
        """The candidate has answered: whoever waits goes on to it."""
        self._held_requests.pass_all(app.id)
        crash_point("swap.ready")

    async def serve(self, app: App, instance: Instance) -> None:
        """Let the proxy serve without asking us. Should it be deaf right now, it goes on asking, and is told to go
        on."""
        crash_point("swap.live")
        async with self._database.connection() as connection:
            hosts = await hosts_of(connection, self._settings, app)
        try:
            await self._ingress.apply(dict.fromkeys(hosts, instance.id))
        except TransientFailure as error:
            log.warning("swap.still_held", app=app.id, reason=error.message)
        else:
            self._held_requests.forget(app.id)

    async def restore_previous(self, run: JobRun, deployment: Deployment) -> Also | None:
        """The deployment ends otherwise: have the old release booted in the candidate's slot, where requests wait."""
        async with self._database.connection() as connection:
            app = await apps.get(connection, deployment.app)
            candidate = await instances.of_deployment(connection, deployment.id)
            route = await routes.get(connection, app.id) if app else None
            old = await instances.get(connection, route.previous) if route and route.previous else None
        if app is None or candidate is None or not _leads_to(route, candidate) or app.current_release is None:
            return None
        self._held_requests.hold(app.id)
        await run.still_leading()
        has_moved = await self._port_moved(app, candidate)
        if old is not None:
            await self._stop(app, old)
        lines, last = await take_down(self._engine, candidate.id, self._settings.apps.stop_grace_seconds)
        crash_point("swap.failed")

        async def also(connection: Connection, _: Deployment) -> None:
            await idle_app.set_idle(connection, app, candidate, last_lines=lines, last_state=last)
            await idle_app.enqueue_wake(connection, app, is_last_resort=True, has_moved=has_moved)

        return also

    async def _keep_awake(self, app: App, serving: Instance) -> None:
        """It was to fall asleep when the server ended: it serves on, and nobody need wait any more."""
        async with self._database.transaction() as connection:
            await routes.serve(connection, app.id, serving.id)
        self._held_requests.forget(app.id)

    async def _go_back(self, run: DeploymentRun, app: App, old: Instance) -> None:
        """The proxy does not hold the requests everywhere: the old instance, which runs, gets them back."""

        async def write(connection: Connection) -> None:
            await routes.restore_previous(connection, app.id)

        await run.record(write)
        self._held_requests.refuse(app.id)
        try:
            await self._ingress.publish()
        except TransientFailure as error:
            log.warning("swap.not_published", app=app.id, instance=old.id, reason=error.message)

    async def _drain(self, run: DeploymentRun, old: Instance) -> None:
        state = await containers.find(self._engine, old.id)
        async with self._database.connection() as connection:
            release = await releases.get(connection, old.release)
        if state is not None and state.running and release is not None:
            seconds = self._settings.apps.drain_seconds
            await until_quiet(state.pid, release.port, seconds, is_disturbed=run.job.cancel.is_set)

    async def _stop(self, app: App, old: Instance) -> None:
        lines, last = await take_down(self._engine, old.id, self._settings.apps.stop_grace_seconds)
        async with self._database.transaction() as connection:
            await instances.set_gone(connection, old.id, last_lines=lines, last_state=last)
            await routes.forget_previous(connection, app.id)

    async def _port_moved(self, app: App, instance: Instance) -> bool:
        """Whether the instance listens elsewhere than the app's current release."""
        async with self._database.connection() as connection:
            release = await releases.get(connection, instance.release)
            current = await releases.get(connection, app.current_release) if app.current_release else None
        return release is not None and current is not None and release.port != current.port


def _leads_to(route: Route | None, instance: Instance) -> bool:
    return route is not None and route.state is RouteState.HELD and route.instance == instance.id
