"""Job `release`: want ▶ boot ▶ probe ▶ switch ▶ retire. Ends with the deployment live.

    want     the candidate's rows are written, before anything exists
    boot     its container starts; no route leads to it
    probe    it answers as a visitor would see it
    switch   the route leads to it, and the proxy has confirmed that
    retire   the deployment is live; what served before drains and is taken down by a job of its own

Side by side, nothing is taken down before its replacement is confirmed; in place, the old instance ends first.
The rows always say what is wanted, so that a step is repeated after a crash. A strategy says how a step is done:
side by side, or in place.
"""

from __future__ import annotations

from dataclasses import replace

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Cause, Phase
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.domain.memory import RolloutChoice
from stackyn_server.engine import containers, images
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.start_failures import ImageMissing, NoStartCommand
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.pipeline.context import JobHandler, PipelineContext
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.first_sample import first_sample
from stackyn_server.pipeline.rollout import probe
from stackyn_server.pipeline.rollout.candidate import (
    Candidate,
    container_spec,
    probe_target,
    probing_seconds,
    start_command,
)
from stackyn_server.pipeline.rollout.first_release_watch import FirstReleaseWatch
from stackyn_server.pipeline.rollout.first_visit import first_visit
from stackyn_server.pipeline.rollout.given_host import waits_for_host
from stackyn_server.pipeline.rollout.in_place import InPlace
from stackyn_server.pipeline.rollout.release_command import ReleaseCommand
from stackyn_server.pipeline.rollout.side_by_side import SideBySide
from stackyn_server.pipeline.rollout.situation import (
    is_in_place,
    nothing_served,
    read_candidate,
    read_situation,
)
from stackyn_server.pipeline.rollout.strategy import RolloutStrategy, StrategyChoice
from stackyn_server.pipeline.rollout.switch import RouteSwitch
from stackyn_server.pipeline.run import DeploymentRun, StepRunner, Superseded
from stackyn_server.pipeline.teardown.retire import retire_present
from stackyn_server.store import apps, claims, deployments, instances, releases, routes, samples
from stackyn_server.store.samples import NewSample
from stackyn_server.store.situations import Situation

_BOOT_TIMEOUT = Failure(
    FailureCode.ENGINE_UNAVAILABLE,
    "The container could not be started in time.",
    "Deploy again; tell the operator if it happens twice.",
)


class ReleaseHandler(JobHandler):
    """The handler of `release` jobs."""

    def __init__(self, context: PipelineContext) -> None:
        super().__init__(context)
        self._route_switch = RouteSwitch(context)
        self._choice = StrategyChoice(context)
        self._in_place = InPlace(context)
        self._side_by_side = SideBySide(context, self._route_switch)
        self._command = ReleaseCommand(context)
        self._first_release_watch = FirstReleaseWatch(context)
        self._runner = StepRunner(
            context.database, context.journal, context.settings, Phase.BUILT, self._in_place.stop_candidate
        )

    async def __call__(self, job: JobRun) -> None:
        run = await self._runner.run(job, self._steps)
        # Not a step of the runner, which takes a failure for one before the switch. A killed server may have gone live.
        if run is not None and run.deployment.phase is Phase.LIVE and await self._is_watched(job):
            await self._first_release_watch.watch(run)

    async def _is_watched(self, job: JobRun) -> bool:
        async with self._database.connection() as connection:
            return await claims.is_running(connection, job.job.id)

    async def _steps(self, run: DeploymentRun) -> None:
        situation = await read_situation(run)
        if situation.app.desired is not Desired.RUNNING:
            raise JobCancelled
        with self._reservations.while_starting(situation.app.id):
            if run.deployment.phase is Phase.BUILT:
                _refuse_superseded(situation)
                if await waits_for_host(run, situation.app):
                    return
                await self._route_switch.until_possible(run)  # before a container is started in vain
                if self._command.is_due(run.deployment):
                    await self._want_command(run, situation)
                else:
                    await self._want(run, situation)
            if run.deployment.phase is Phase.RELEASING:
                await self._run_command(run, situation)
                await self._want(run, await read_situation(run))
            await self._roll_out(run)

    async def _roll_out(self, run: DeploymentRun) -> None:
        situation, candidate = await read_situation(run), await read_candidate(run)
        self._reservations.reserve(situation.app.id, candidate.release.memory_mb)
        strategy = self._in_place if is_in_place(situation, candidate) else self._side_by_side
        try:
            crash_point("release.booting")
            if run.deployment.phase is Phase.BOOTING:
                candidate = await self._boot(run, strategy, situation, candidate)
            crash_point("release.probing")
            if run.deployment.phase is Phase.PROBING:
                candidate = await self._probe(run, strategy, situation, candidate)
            crash_point("release.switching")
            if run.deployment.phase is Phase.SWITCHING:
                await self._switch(run, strategy, await read_situation(run), candidate)
            crash_point("release.live")
        except TransientFailure as error:
            if is_in_place(await read_situation(run), candidate):
                raise DeploymentFailed(error.failure) from error  # requests wait: no time for another try
            raise

    async def _want(self, run: DeploymentRun, situation: Situation) -> None:
        situation = await self._choice.keep_awake(run, situation)
        choice = await self._choice.choose(run, situation)
        strategy: RolloutStrategy = self._in_place if choice is RolloutChoice.IN_PLACE else self._side_by_side
        ports = await self._exposed_ports(run, situation)
        await strategy.before_want(run, situation)
        async for attempt in run.recording(Phase.BOOTING):
            async with attempt as transaction:
                await strategy.want(transaction, run, situation, ports)

    async def _boot(
        self, run: DeploymentRun, strategy: RolloutStrategy, situation: Situation, candidate: Candidate
    ) -> Candidate:
        await strategy.before_boot(run, situation, candidate)
        container = await run.step(self._start(run, situation, candidate), _BOOT_TIMEOUT)
        crash_point("release.booted")
        async for attempt in run.recording(Phase.PROBING):
            async with attempt as transaction:
                await instances.set_container(transaction, candidate.instance.id, container)
        return replace(candidate, instance=replace(candidate.instance, container=container))

    async def _probe(
        self, run: DeploymentRun, strategy: RolloutStrategy, situation: Situation, candidate: Candidate
    ) -> Candidate:
        has_no_visitors = nothing_served(situation, candidate)
        port = await self._until_ready(run, situation, candidate, has_no_visitors=has_no_visitors)
        release = candidate.release
        if port != release.port:
            await run.record(lambda transaction: releases.set_port(transaction, release.id, port))
            release = replace(release, port=port, told_port=release.told_port or release.port)
            candidate = replace(candidate, release=release)
        # An interrupted attempt may have recorded the port and no more. A rollback's port was known from the start.
        if release.told_port is not None and run.deployment.cause is not Cause.ROLLBACK:
            await strategy.found_port(situation, candidate)
        if not has_no_visitors:  # before the switch, after which nothing may go wrong
            await containers.set_restart(self._engine, candidate.container, on=True)
        crash_point("release.probed")
        _refuse_superseded(await read_situation(run))
        async for attempt in run.recording(Phase.SWITCHING):
            async with attempt as transaction:
                await strategy.want_route(transaction, candidate)
        return candidate

    async def _switch(
        self, run: DeploymentRun, strategy: RolloutStrategy, situation: Situation, candidate: Candidate
    ) -> None:
        release, instance = candidate.release, candidate.instance
        seconds = self._settings.samples.first_seconds
        async with first_sample(
            self._engine, release, instance, candidate.container, within_seconds=seconds
        ) as measured:
            await strategy.switch(run, situation, candidate)
            slug = situation.app.slug
            if release.protocol == "http" and (
                sentence := await first_visit(self._ingress, self._settings, slug)
            ):
                run.write_log(sentence)
            # The last line is readable when the deployment is seen as running: its reader may look only once more.
            run.write_log(f"Live at {self._settings.public_url(slug)}")
            await run.flush_log()
            await self._go_live(run, situation, candidate, await measured())
        await strategy.after_live(situation, candidate)

    async def _go_live(
        self, run: DeploymentRun, situation: Situation, candidate: Candidate, measured: list[NewSample]
    ) -> None:
        """Record the deployment as live, with what it uses, and have the previous instance retired. The job of a first
        release goes on to watch it."""
        app, release, instance = situation.app, candidate.release, candidate.instance
        drain_seconds = self._settings.apps.drain_seconds
        async for attempt in run.recording(Phase.LIVE):
            async with attempt as transaction:
                live = await deployments.live_of_app(transaction, app.id)
                if live is not None:  # an app has one live deployment
                    await deployments.advance(transaction, live, Phase.REPLACED, run.mover)
                await routes.serve(transaction, app.id, instance.id)
                await instances.set_up(transaction, instance.id)
                await samples.record(transaction, measured)
                await releases.number(transaction, release.id, app.id)
                await apps.set_current_release(transaction, app.id, release.id)
                await retire_present(transaction, run.job, app, drain_seconds, apart_from=instance.id)
                if not nothing_served(situation, candidate):
                    await run.job.finish(transaction)

    async def _want_command(self, run: DeploymentRun, situation: Situation) -> None:
        """Record the candidate, whose slot the release command uses. No request is held: the instance that serves
        goes on until the command has succeeded, whichever strategy its release follows then."""
        situation = await self._choice.keep_awake(run, situation)
        await self._choice.need_memory_beside(run, situation)
        ports = await self._exposed_ports(run, situation)
        async for attempt in run.recording(Phase.RELEASING):
            async with attempt as transaction:
                await self._side_by_side.want(transaction, run, situation, ports)

    async def _run_command(self, run: DeploymentRun, situation: Situation) -> None:
        crash_point("releasing.wanted")
        candidate = await read_candidate(run)
        self._reservations.reserve(situation.app.id, candidate.release.memory_mb)
        if self._command.is_due(run.deployment):
            spec = self._spec(situation, candidate)
            try:
                await self._command.run(run, spec)
            except ImageMissing:
                await self._forget_image(run, candidate)
                raise
        crash_point("releasing.done")

    async def _exposed_ports(self, run: DeploymentRun, situation: Situation) -> tuple[int, ...]:
        """Look at the image before anything is started from it. Raises `DeploymentFailed` when it can't be started.

        An image that is gone is noticed, and recorded, when its container is started.
        """
        if run.deployment.cause is Cause.ROLLBACK or not run.deployment.image:
            return ()  # a rollback takes everything from the release that it restores
        image = await images.inspect(self._engine, run.deployment.image)
        if image is None:
            return ()
        if not image.has_command and start_command(situation.app, run.deployment) is None:
            raise NoStartCommand
        return image.exposed_ports

    async def _start(self, run: DeploymentRun, situation: Situation, candidate: Candidate) -> str:
        """Start the release's container without any route. Idempotent: the container is found by its name."""
        await self._command.remove(run.deployment)
        run.write_log(f"Starting the container with {candidate.release.memory_mb} MB of memory.")
        spec = self._spec(situation, candidate)
        await run.job.still_leading()
        try:
            return await self._start_container(spec)
        except ImageMissing:
            await self._forget_image(run, candidate)
            raise

    @staticmethod
    async def _forget_image(run: DeploymentRun, candidate: Candidate) -> None:
        app, image = candidate.instance.app, candidate.release.image
        await run.record(lambda transaction: releases.image_removed(transaction, app, image))

    async def _until_ready(
        self, run: DeploymentRun, situation: Situation, candidate: Candidate, *, has_no_visitors: bool
    ) -> int:
        """Return the port on which the candidate answers. A first release need not show that it stays."""
        release, settings = candidate.release, self._settings.probe
        cause = run.deployment.cause
        known_ports = await self._known_ports(situation, candidate)
        target = probe_target(
            self._settings,
            situation.app,
            release,
            candidate.instance,
            candidate.container,
            known_ports=known_ports,
            is_fixed=cause is Cause.ROLLBACK,
        )
        seconds = probing_seconds(self._settings, release)
        limit = "" if release.health_timeout_seconds is None else f" within {seconds:g} s"
        run.write_log(f"Waiting for it to answer on port {release.port}{limit}.")
        has_run_before = cause in (Cause.ROLLBACK, Cause.RESTART, Cause.START)
        steady_seconds = settings.known_steady_seconds if has_run_before else settings.steady_seconds
        return await run.job.until_cancelled(
            probe.until_ready(
                self._engine,
                target,
                settings,
                within_seconds=seconds,
                steady_seconds=0 if has_no_visitors else steady_seconds,
                say=run.write_log,
            )
        )

    def _spec(self, situation: Situation, candidate: Candidate) -> ContainerSpec:
        return container_spec(
            self._settings, self._sealer, situation.app, candidate.release, candidate.instance
        )

    async def _known_ports(self, situation: Situation, candidate: Candidate) -> tuple[int, ...]:
        """Return the ports that are accepted without a long observation: the app's current port, or those that its
        image exposes. None where the owner has chosen a port."""
        if situation.app.settings.port:
            return ()
        if situation.current_port is not None and situation.current_told_port == candidate.release.port:
            return (situation.current_port,)
        image = await images.inspect(self._engine, candidate.release.image)
        return image.exposed_ports if image is not None else ()


def _refuse_superseded(situation: Situation) -> None:
    if situation.is_superseded:
        raise Superseded
