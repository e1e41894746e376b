"""Job `wake`: a request came for an idle app. Boot its next instance, probe it, let the held requests pass.

They pass as soon as the instance is ready, whatever the route still says; then the route is published as serving.
"""

from __future__ import annotations

import structlog

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import OPEN_PHASES, Phase
from stackyn_server.domain.failures import DeploymentFailed, Failure, TransientFailure
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.jobs import WakeArguments
from stackyn_server.domain.memory import fits_in_memory
from stackyn_server.engine import containers
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.first_sample import first_sample
from stackyn_server.pipeline.hosts import confirm_route, hosts_of
from stackyn_server.pipeline.idle.idle_app import set_idle
from stackyn_server.pipeline.rollout import probe
from stackyn_server.pipeline.rollout.candidate import container_spec, probe_target, probing_seconds
from stackyn_server.pipeline.rollout.memory_reservations import NoMemory
from stackyn_server.pipeline.teardown.stop import retire_all
from stackyn_server.store import apps, deployments, events, instances, releases, routes, samples
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.instances import Instance, InstanceState
from stackyn_server.store.releases import Release
from stackyn_server.store.routes import RouteState

log = structlog.get_logger()


class Wake(JobHandler):
    """The handler of `wake` jobs."""

    async def __call__(self, job: JobRun) -> None:
        app = await self._app(job)
        if app is None:
            return
        instance = await self._idle_instance(job, app)
        if instance is not None:
            async with self._database.connection() as connection:
                release = await releases.get(connection, instance.release)
            assert release is not None, "the instance's row refers to it"
            try:
                with self._reservations.while_starting(app.id):
                    await job.until_cancelled(self._start(job, app, release, instance))
            except TransientFailure as error:
                async with self._transaction(job) as connection:
                    await _set_wake_problem(connection, app, error.failure)
                raise
            except DeploymentFailed as error:
                return await self._give_up(job, app, instance, error.failure)
        await self._serve(job, app)
        return None

    async def _app(self, job: JobRun) -> App | None:
        """Return the app. When the app should no longer run, refuse its held requests and return None."""
        subject = AppId(int(job.job.subject))
        async with self._database.connection() as connection:
            app = await apps.get(connection, subject)
        if app is not None and app.desired is Desired.RUNNING:
            return app
        self._held_requests.refuse(subject)
        return None

    async def _idle_instance(self, job: JobRun, app: App) -> Instance | None:
        """Return the instance to boot; None when there is nothing to wake or the app is being deployed.

        First takes down what a dead job has left in the held slot.
        """
        async with self._database.connection() as connection:
            route = await routes.get(connection, app.id)
            if route is None or route.instance is None or route.state is not RouteState.HELD:
                return None
            instance = await instances.get(connection, route.instance)
            made_by = instance.deployment if instance else None
            deployment = await deployments.get(connection, made_by) if made_by else None
        if instance is None:
            return None
        is_candidate = deployment is not None and deployment.phase is not Phase.LIVE
        if is_candidate and deployment is not None and deployment.phase in OPEN_PHASES:
            return None  # its release job goes on with it
        if is_candidate and route.previous is not None:
            return None  # its cleanup decides what becomes of it and of the previous instance
        if instance.state in (InstanceState.STARTING, InstanceState.UP) and not is_candidate:
            return instance
        await job.still_leading()
        last = await self._take_down(instance.id)
        async with self._transaction(job) as connection:
            return await set_idle(connection, app, instance, last)

    async def _start(self, job: JobRun, app: App, release: Release, instance: Instance) -> None:
        """Start the container and wait until it answers. Raises `DeploymentFailed`."""
        arguments = WakeArguments.parse(job.job.arguments)
        if not arguments.restores_release:  # else it takes the place of an instance that ran just now
            available_mb = await self._reservations.available_mb(app.id)
            if not fits_in_memory(available_mb, self._settings.apps.memory_reserve_mb, release.memory_mb):
                raise NoMemory
        self._reservations.reserve(app.id, release.memory_mb)
        await job.still_leading()
        spec = container_spec(self._settings, self._sealer, app, release, instance)
        container = await self._start_container(spec)
        crash_point("wake.started")
        async with self._transaction(job) as connection:
            await instances.set_container(connection, instance.id, container)
        target = probe_target(self._settings, app, release, instance, container)
        seconds = probing_seconds(self._settings, release)
        await probe.until_ready(self._engine, target, self._settings.probe, within_seconds=seconds)
        await containers.set_restart(self._engine, container, on=True)
        crash_point("wake.ready")
        if arguments.has_moved:
            async with self._database.connection() as connection:
                hosts = await hosts_of(connection, self._settings, app)
            await self._refuse_other_port(app.id, hosts, instance.id)
        self._held_requests.pass_all(app.id)
        seconds = self._settings.samples.first_seconds
        async with first_sample(
            self._engine, release, instance, container, within_seconds=seconds
        ) as measured:
            new_samples = await measured()
        async with self._transaction(job) as connection:
            await instances.set_up(connection, instance.id)
            await samples.record(connection, new_samples)
            await routes.serve(connection, app.id, instance.id)
            await _set_wake_problem(connection, app, None)
            await events.append(connection, "app.woken", tenant=app.tenant, app=app.id)
        crash_point("wake.serving")

    async def _serve(self, job: JobRun, app: App) -> None:
        """Publish the route without forwardAuth; for a withdrawn one, have the proxy confirm that it is gone."""
        async with self._database.connection() as connection:
            route = await routes.get(connection, app.id)
            hosts = await hosts_of(connection, self._settings, app)
        if route is None or route.state is RouteState.WITHDRAWN:
            self._held_requests.refuse(app.id)
            await job.still_leading()
            await confirm_route(self._ingress, hosts, None)  # the proxy may not know it yet
        elif route.state is RouteState.SERVING:
            await job.still_leading()
            await confirm_route(self._ingress, hosts, route.instance)
            self._held_requests.forget(app.id)

    async def _give_up(self, job: JobRun, app: App, instance: Instance, failure: Failure) -> None:
        """Refuse the held requests of an app that does not start. A later one tries again, unless it was to restore
        the previous release."""
        log.info("wake.failed", app=app.id, code=failure.code.value)
        await job.still_leading()
        last = await self._take_down(instance.id)
        crash_point("wake.failed")
        restores_release = WakeArguments.parse(job.job.arguments).restores_release
        async with self._transaction(job) as connection:
            await events.append(
                connection,
                "app.wake_failed",
                tenant=app.tenant,
                app=app.id,
                data={**failure.as_json(Phase.BOOTING.value), "last_lines": last.lines or ""},
            )
            if restores_release:
                await last.record(connection, instance.id)
                await routes.withdraw(connection, app.id)
                await retire_all(connection, job, app, drain_seconds=0, reason=_sentence(failure))
                await apps.set_desired(connection, app.id, app.desired, stop_reason=_sentence(failure))
            else:
                await set_idle(connection, app, instance, last)
                await _set_wake_problem(connection, app, failure)
        self._held_requests.refuse(app.id, self._settings.hold.refuse_seconds)
        if restores_release:
            await self._serve(job, app)


async def _set_wake_problem(connection: Connection, app: App, failure: Failure | None) -> None:
    """Store why the app could not be woken (None: it is awake)."""
    live = await deployments.live_of_app(connection, app.id)
    if live is not None:
        await deployments.set_waiting_reason(connection, live.id, _sentence(failure) if failure else None)


def _sentence(failure: Failure) -> str:
    return f"It could not be woken up. {failure.message}"
