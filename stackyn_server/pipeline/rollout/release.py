"""Job `release`: boot the candidate in the free slot, probe it, switch to it. Ends with the deployment live.

The order is the whole point: nothing is taken away before its replacement is confirmed, and the rows always say what
was wanted, so that a crash anywhere is answered by doing the same step again.
"""

from __future__ import annotations

from dataclasses import replace

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Cause, Phase
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import DeploymentId, InstanceId
from stackyn_server.domain.memory import RolloutStrategy
from stackyn_server.engine import containers, images
from stackyn_server.engine.start_failures import ImageMissing, NoStartCommand
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.context import JobHandler, PipelineContext
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.rollout import candidate, probe
from stackyn_server.pipeline.rollout.after_live import AfterLive
from stackyn_server.pipeline.rollout.first_visit import first_visit
from stackyn_server.pipeline.rollout.in_place import Swap
from stackyn_server.pipeline.rollout.release_command import ReleaseCommand
from stackyn_server.pipeline.rollout.switch import Switch
from stackyn_server.pipeline.run import Also, DeploymentRun, First, StepRunner
from stackyn_server.pipeline.teardown.retire import enqueue_retire
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import apps, claims, deployments, instances, releases, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Deployment
from stackyn_server.store.instances import Instance
from stackyn_server.store.releases import Release
from stackyn_server.store.routes import RouteState


class ReleaseHandler(JobHandler):
    """The handler of `release` jobs."""

    def __init__(self, context: PipelineContext, journal: Journal, sealer: Sealer) -> None:
        super().__init__(context)
        self._switch = Switch(context)
        self._swap = Swap(context)
        self._after_live = AfterLive(context)
        self._command = ReleaseCommand(context, journal)
        self._journal = journal
        self._sealer = sealer
        self._runner = StepRunner(
            context.database,
            journal,
            context.settings,
            back_to=Phase.BUILT,
            restore_previous=self._swap.restore_previous,
        )

    async def __call__(self, run: JobRun) -> None:
        await self._runner.run(run, self._steps)
        # Outside of the run, whose faults end a deployment otherwise. Also where a server before this one was killed.
        async with self._database.connection() as connection:
            deployment = await deployments.get(connection, DeploymentId(int(run.job.subject)))
            is_watched = await claims.is_running(connection, run.job.id)
        if deployment is not None and deployment.phase is Phase.LIVE and is_watched:
            await self._after_live.watch(
                DeploymentRun(run, self._database, self._journal, self._settings, deployment)
            )

    async def _steps(self, run: DeploymentRun) -> None:
        app = await self._app(run)
        with self._reservations.while_starting(app.id):
            await self._start(run, app)

    async def _start(self, run: DeploymentRun, app: App) -> None:
        if run.deployment.phase is Phase.BUILT:
            if await self._is_superseded(run):
                return await self._give_way(run)
            await self._switch.until_possible(run)  # before a container is started in vain
            if self._command.is_due(run.deployment):
                await self._want_command(run, app)
            else:
                await self._want_container(run, app)
        if run.deployment.phase is Phase.RELEASING:
            await self._run_command(run, app)
            await self._want_container(run, app)
        release, instance = await self._candidate(run)
        self._reservations.reserve(app.id, release.memory_mb)
        try:
            await self._go_live(run, app, release, instance)
        except TransientFailure as error:
            if not await self._swap.is_in_place(instance):
                raise
            raise DeploymentFailed(error.failure) from error  # requests wait: no time for another try
        return None

    async def _go_live(self, run: DeploymentRun, app: App, release: Release, instance: Instance) -> None:
        crash_point("release.booting")
        is_in_place = await self._swap.is_in_place(instance)
        if run.deployment.phase is Phase.BOOTING:
            if is_in_place:
                await self._swap.stop_previous(run, app, instance)
            container = await run.step(self._boot(run, app, release, instance), _boot_timeout())
            crash_point("release.booted")
            await run.move(Phase.PROBING, also=_remember(instance.id, container))
        crash_point("release.probing")
        if run.deployment.phase is Phase.PROBING:
            is_first = await self._is_first(app, instance)
            found = await self._probe(run, app, release, instance, is_first=is_first)
            if is_in_place and found.port != release.port:
                await self._swap.turn_to_port(app, instance)
            release = found
            if not is_first:
                await self._keep_up(instance)
            crash_point("release.probed")
            if await self._is_superseded(run):
                return await self._give_way(run)
            await run.move(Phase.SWITCHING, also=None if is_in_place else _want_route(app, instance))
        crash_point("release.switching")
        if run.deployment.phase is Phase.SWITCHING:
            if is_in_place:
                self._swap.pass_held_requests(app)
            else:
                await self._switch.to(run, app, instance)
                crash_point("release.confirmed")
            await self._tell_what_visitors_get(run, app, release)
            is_watched = await self._is_first(app, instance)
            await self._record_live(run, app, release, instance, is_watched=is_watched)
            if is_in_place:
                await self._swap.serve(app, instance)
        crash_point("release.live")
        return None

    async def _is_first(self, app: App, instance: Instance) -> bool:
        """Whether nothing serves, and no request waits, that a failure could harm."""
        async with self._database.connection() as connection:
            route = await routes.get(connection, app.id)
        if route is None or route.state is RouteState.WITHDRAWN:
            return True
        is_wanted = route.state is RouteState.SWITCHING and route.instance == instance.id
        return is_wanted and route.previous is None

    async def _tell_what_visitors_get(self, run: DeploymentRun, app: App, release: Release) -> None:
        if release.protocol == "http" and (
            said := await first_visit(self._ingress, self._settings, app.slug)
        ):
            run.write_log(said)

    async def _app(self, run: DeploymentRun) -> App:
        async with self._database.connection() as connection:
            app = await apps.get(connection, run.deployment.app)
        if app is None or app.desired is not Desired.RUNNING:
            raise JobCancelled
        return app

    async def _want_command(self, run: DeploymentRun, app: App) -> None:
        """Record candidate and instance, in whose place the release command is run first. Nobody's requests are held:
        what serves goes on until the command has succeeded, whichever way its release takes over then."""
        await self._swap.need_room_beside(run, app)
        exposed_ports = await self._exposed_ports(run, app)

        async def also(connection: Connection, moved: Deployment) -> None:
            await candidate.ensure(
                connection, self._sealer, self._settings, app, moved, exposed_ports=exposed_ports
            )

        await run.move(Phase.RELEASING, also=also)

    async def _run_command(self, run: DeploymentRun, app: App) -> None:
        crash_point("releasing.wanted")
        release, instance = await self._candidate(run)
        self._reservations.reserve(app.id, release.memory_mb)
        if self._command.is_due(run.deployment):
            spec = candidate.container_spec(self._settings, self._sealer, app, release, instance)
            try:
                await self._command.run(run, spec)
            except ImageMissing:
                await self._forget_image(run, app, release)
                raise
        crash_point("releasing.done")

    async def _want_container(self, run: DeploymentRun, app: App) -> None:
        """Record candidate and instance before anything exists, so that a crash leaves nothing unknown.

        A candidate that can't run beside what serves gets its requests held in the same transaction. One of an app at
        rest takes the slot for which they are held already.
        """
        way = await self._swap.way(run, app)
        exposed_ports = await self._exposed_ports(run, app)
        held = await self._swap.free_held_slot(app) if way is RolloutStrategy.IN_PLACE else None
        if held is not None:
            await self._leave_other_slot(run, held)

        async def also(connection: Connection, moved: Deployment) -> None:
            if held is not None and held.deployment != moved.id:
                await instances.set_gone(connection, held.id)
            slot = held.slot if held is not None else None
            instance = await candidate.ensure(
                connection, self._sealer, self._settings, app, moved, slot, exposed_ports=exposed_ports
            )
            if way is RolloutStrategy.IN_PLACE:
                await routes.hold(connection, app.id, instance.id)
            if held is not None:
                await routes.forget_previous(connection, app.id)

        await run.move(Phase.BOOTING, also=also)

    async def _leave_other_slot(self, run: DeploymentRun, held: Instance) -> None:
        """A candidate that is in the other slot already is to come up where requests are held: nothing of it runs."""
        async with self._database.connection() as connection:
            instance = await instances.of_deployment(connection, run.deployment.id)
        if instance is None or instance.slot == held.slot:
            return
        await run.job.still_leading()
        if (container := await containers.find(self._engine, instance.id)) is not None:
            await containers.remove(self._engine, container.id)

    async def _exposed_ports(self, run: DeploymentRun, app: App) -> tuple[int, ...]:
        """Look at the image before anything is started from it. Raises `DeploymentFailed` when it can't be.

        One that is gone is noticed, and recorded, when its container is started.
        """
        if run.deployment.cause is Cause.ROLLBACK or not run.deployment.image:
            return ()  # it takes everything from the release that it goes back to
        image = await images.inspect(self._engine, run.deployment.image)
        if image is None:
            return ()
        if not image.has_command and candidate.start_command(app, run.deployment) is None:
            raise NoStartCommand
        return image.exposed_ports

    async def _candidate(self, run: DeploymentRun) -> tuple[Release, Instance]:
        async with self._database.connection() as connection:
            found = await candidate.of_deployment(connection, run.deployment.id)
        if found is None:
            raise DeploymentFailed(
                Failure(FailureCode.INTERNAL, "The deployment's container was lost.", "Deploy again.")
            )
        return found

    async def _boot(self, run: DeploymentRun, app: App, release: Release, instance: Instance) -> str:
        """Start the release's container without any route. Safe to repeat: it is found by its name."""
        await self._command.remove(run.deployment)
        run.write_log(f"Starting the container with {release.memory_mb} MB of memory.")
        spec = candidate.container_spec(self._settings, self._sealer, app, release, instance)
        await run.job.still_leading()
        try:
            return await containers.start(self._engine, spec)
        except ImageMissing:
            await self._forget_image(run, app, release)
            raise

    @staticmethod
    async def _forget_image(run: DeploymentRun, app: App, release: Release) -> None:
        await run.record(lambda connection: releases.image_removed(connection, app.id, release.image))

    async def _probe(
        self, run: DeploymentRun, app: App, release: Release, instance: Instance, *, is_first: bool
    ) -> Release:
        """Return the release with the port on which it really answers. A first one need not show that it stays."""
        async with self._database.connection() as connection:
            current = await instances.get(connection, instance.id)
        target = candidate.target(
            self._settings,
            app,
            release,
            instance,
            (current.container if current else None) or "",
            known_ports=await self._known_ports(app, release),
            is_fixed=run.deployment.cause is Cause.ROLLBACK,
        )
        seconds = candidate.probing_seconds(self._settings, release)
        limit = "" if release.health_timeout_seconds is None else f" within {seconds:g} s"
        run.write_log(f"Waiting for it to answer on port {release.port}{limit}.")
        chosen = self._settings.probe
        is_known = run.deployment.cause in (Cause.ROLLBACK, Cause.RESTART, Cause.START)
        steady = chosen.known_steady_seconds if is_known else chosen.steady_seconds
        port = await run.job.until_cancelled(
            probe.until_ready(
                self._engine,
                target,
                chosen,
                within_seconds=seconds,
                steady_seconds=0 if is_first else steady,
                say=run.write_log,
            )
        )
        if port == release.port:
            return release
        await run.record(lambda connection: releases.set_port(connection, release.id, port))
        return replace(release, port=port, told_port=release.told_port or release.port)

    async def _known_ports(self, app: App, release: Release) -> tuple[int, ...]:
        """Ports that may serve besides the expected one without having to prove it for long: where the app is reached
        now, or those that its image exposes. Whoever has chosen a port means that one."""
        if app.settings.port:
            return ()
        async with self._database.connection() as connection:
            current = await releases.get(connection, app.current_release) if app.current_release else None
        if current is not None and current.told_port == release.port:
            return (current.port,)
        image = await images.inspect(self._engine, release.image)
        return image.exposed_ports if image is not None else ()

    async def _is_superseded(self, run: DeploymentRun) -> bool:
        async with self._database.connection() as connection:
            return await deployments.newer_is_live(connection, run.deployment)

    async def _give_way(self, run: DeploymentRun) -> None:
        """A deployment that was asked for later is live already."""
        run.write_log("A newer deployment is live already.")
        await self._runner.end(run, Phase.SUPERSEDED)

    async def _keep_up(self, instance: Instance) -> None:
        """Have the engine bring the container back from now on. Before the switch: after it, nothing may go wrong."""
        container = await containers.find(self._engine, instance.id)
        if container is not None:
            await containers.set_restart(self._engine, container.id, on=True)

    async def _record_live(
        self, run: DeploymentRun, app: App, release: Release, instance: Instance, *, is_watched: bool
    ) -> None:
        async def also(connection: Connection, _: Deployment) -> None:
            await routes.serve(connection, app.id, instance.id)
            await instances.set_up(connection, instance.id)
            await releases.number(connection, release.id, app.id)
            await apps.set_current_release(connection, app.id, release.id)
            for other in await instances.present_of_app(connection, app.id):
                if other.id != instance.id and await instances.set_draining(connection, other.id):
                    drain = self._settings.apps.drain_seconds
                    await enqueue_retire(connection, app, other, now=run.job.now(), drain_seconds=drain)
            if not is_watched:
                await run.job.finish(connection)

        # The last line comes before the end: who follows the log reads until the deployment has ended.
        run.write_log(f"Live at {self._settings.public_url(app.slug)}")
        await run.move(Phase.LIVE, first=_replace_live(run), also=also)


def _replace_live(run: DeploymentRun) -> First:
    """The deployment that served until now has been replaced: an app has one live deployment."""

    async def first(connection: Connection) -> None:
        served = await deployments.live_of_app(connection, run.deployment.app)
        if served is not None:
            await deployments.advance(connection, served, Phase.REPLACED, run.mover)

    return first


def _want_route(app: App, instance: Instance) -> Also:
    async def also(connection: Connection, _: Deployment) -> None:
        await routes.want(connection, app.id, instance.id)

    return also


def _remember(instance: InstanceId, container: str) -> Also:
    async def also(connection: Connection, _: Deployment) -> None:
        await instances.set_container(connection, instance, container)

    return also


def _boot_timeout() -> Failure:
    return Failure(
        FailureCode.ENGINE_UNAVAILABLE,
        "The container could not be started in time.",
        "Deploy again; tell the operator if it happens twice.",
    )
