"""The rollout strategy in place, where the memory for two instances is missing: hold the app's requests, end the old
instance, start the candidate, and let the requests pass to it.

The row of the route is held for the candidate from `want` until the deployment is live, and that alone says that a
rollout is in place. The proxy holds requests until `after_live`.
"""

from __future__ import annotations

import structlog

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import DeploymentFailed, Failure, TransientFailure
from stackyn_server.domain.ids import AppId
from stackyn_server.engine import containers
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.hosts import confirm_route
from stackyn_server.pipeline.idle.idle_app import StoppedCandidate
from stackyn_server.pipeline.rollout.candidate import Candidate, ensure_candidate, of_deployment
from stackyn_server.pipeline.rollout.situation import has_other_port, hosts_in, is_in_place
from stackyn_server.pipeline.rollout.strategy import RolloutStrategy
from stackyn_server.pipeline.run import DeploymentRun, remember_failure
from stackyn_server.pipeline.teardown.drain import until_quiet
from stackyn_server.pipeline.teardown.take_down import LastOutput
from stackyn_server.store import instances, routes, situations
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Deployment, StepResults
from stackyn_server.store.instances import InstanceState
from stackyn_server.store.routes import RouteState
from stackyn_server.store.situations import RoutedInstance, Situation

log = structlog.get_logger()


class InPlace(RolloutStrategy):
    async def before_want(self, run: DeploymentRun, situation: Situation) -> None:
        """Take down the instance in the slot that requests are already held for, as for an idle app. The release
        command may have left the candidate in the other slot: the candidate moves, so its container is removed too."""
        idle = _idle_instance(situation)
        if idle is None:
            return
        await run.job.still_leading()
        last = await self._take_down(idle.id)
        await run.record(lambda transaction: last.keep(transaction, idle.id))
        async with self._database.connection() as connection:
            earlier = await instances.of_deployment(connection, run.deployment.id)
        if earlier is None or earlier.slot == idle.slot:
            return
        if (container := await containers.find(self._engine, earlier.id)) is not None:
            await self._log_keeper.keep(earlier.id, container.id)
            await containers.remove(self._engine, container.id)

    async def want(
        self, transaction: Connection, run: DeploymentRun, situation: Situation, ports: tuple[int, ...]
    ) -> None:
        """Record the candidate, and that the route is held for it."""
        app, idle = situation.app, _idle_instance(situation)
        if idle is not None and idle.deployment != run.deployment.id:
            await instances.set_gone(transaction, idle.id)
        slot = idle.slot if idle else None
        instance = await ensure_candidate(
            transaction, self._sealer, self._settings, app, run.deployment, ports, slot
        )
        await routes.hold(transaction, app.id, instance.id)
        if idle is not None:
            await routes.forget_previous(transaction, app.id)

    async def before_boot(self, run: DeploymentRun, situation: Situation, candidate: Candidate) -> None:
        """Hold the requests, confirmed; let those in progress end; stop the previous instance. Idempotent.

        Raises `DeploymentFailed` when the proxy can't hold the requests; a previous instance that ran serves again.
        Raises `JobCancelled` when the job was cancelled before the previous instance is told to end.
        """
        app, previous, hosts = situation.app, situation.previous, hosts_in(situation, self._settings)
        self._held_requests.hold(app.id)
        await run.job.still_leading()
        if previous is None:
            if has_other_port(situation, candidate):
                await self._refuse_other_port(app.id, hosts, candidate.instance.id)
            return
        if previous.state is InstanceState.UP:
            run.write_log(
                "There is not enough memory to run both releases at once: "
                "requests wait while this one takes the place of the other."
            )
            try:
                await self._ingress.apply(dict.fromkeys(hosts, candidate.instance.id))
            except DeploymentFailed as error:
                await self._restore_route(run, previous, hosts, error)
                raise
            crash_point("switch.held")
            await self._drain(run, previous)
            if run.job.cancel.is_set():
                raise JobCancelled
            await run.record(lambda transaction: instances.set_draining(transaction, previous.id))
        crash_point("switch.stopping")
        await run.job.still_leading()
        last = await self._take_down(previous.id)
        await run.record(lambda transaction: _set_previous_gone(transaction, app.id, previous, last))
        crash_point("switch.stopped")

    async def found_port(self, situation: Situation, candidate: Candidate) -> None:
        hosts = hosts_in(situation, self._settings)
        await self._refuse_other_port(situation.app.id, hosts, candidate.instance.id)

    async def switch(self, run: DeploymentRun, situation: Situation, candidate: Candidate) -> None:
        self._held_requests.pass_all(situation.app.id)
        crash_point("switch.ready")

    async def after_live(self, situation: Situation, candidate: Candidate) -> None:
        """Publish the route without forwardAuth. If publishing fails, forwardAuth stays and lets every request pass."""
        crash_point("switch.live")
        hosts = hosts_in(situation, self._settings)
        try:
            await confirm_route(self._ingress, hosts, candidate.instance.id)
        except TransientFailure as error:
            log.warning("route.still_held", app=situation.app.id, reason=error.message)
        else:
            self._held_requests.forget(situation.app.id)

    async def stop_candidate(
        self, job: JobRun, deployment: Deployment, failure: Failure | None = None
    ) -> StoppedCandidate | None:
        """Stop the candidate of a deployment that ends otherwise than live, so that the previous release can start in
        the candidate's slot. None for a rollout that is not in place.

        A previous instance that is still up serves again. Then the result is None too, and the cleanup removes the
        candidate, to which no route leads any more.
        """
        async with self._database.connection() as connection:
            situation = await situations.read(connection, deployment.id)
            candidate = await of_deployment(connection, deployment.id)
        if situation is None or candidate is None or not is_in_place(situation, candidate):
            return None
        app, previous = situation.app, situation.previous
        if app.current_release is None:
            return None
        self._held_requests.hold(app.id)
        await job.still_leading()
        if failure is not None:
            async with self._transaction(job) as transaction:
                await remember_failure(transaction, job, deployment.phase, failure)
        if previous is not None and previous.state is InstanceState.UP:
            async with self._transaction(job) as transaction:
                await routes.restore_previous(transaction, app.id)
            await self._confirm_restored_route(app.id, previous, hosts_in(situation, self._settings))
            return None
        if previous is not None:
            last = await self._take_down(previous.id)
            async with self._transaction(job) as transaction:
                await _set_previous_gone(transaction, app.id, previous, last)
        last = await self._take_down(candidate.instance.id)
        crash_point("switch.failed")
        return StoppedCandidate(app, candidate.instance, last, has_other_port(situation, candidate))

    async def _restore_route(
        self, run: DeploymentRun, previous: RoutedInstance, hosts: list[str], error: DeploymentFailed
    ) -> None:
        """Route the app to its previous instance again, because the proxy did not confirm the hold. The phase goes back
        in the same transaction: the next attempt chooses its strategy anew."""
        app = run.deployment.app
        async for attempt in run.recording(Phase.BUILT, StepResults(waiting_reason=error.message)):
            async with attempt as transaction:
                await routes.restore_previous(transaction, app)
        await self._confirm_restored_route(app, previous, hosts)

    async def _confirm_restored_route(self, app: AppId, previous: RoutedInstance, hosts: list[str]) -> None:
        """Have the proxy confirm that the previous instance serves. A proxy that still holds would let requests pass to
        the candidate's address, so they are refused until then."""
        self._held_requests.refuse(app, self._settings.hold.refuse_seconds)
        try:
            await confirm_route(self._ingress, hosts, previous.id)
        except TransientFailure as failure:
            log.warning("route.not_restored", app=app, instance=previous.id, reason=failure.message)
        else:
            self._held_requests.forget(app)

    async def _drain(self, run: DeploymentRun, previous: RoutedInstance) -> None:
        state = await containers.find(self._engine, previous.id)
        if state is not None and state.running:
            seconds = self._settings.apps.drain_seconds
            await until_quiet(state.pid, previous.port, seconds, is_disturbed=run.job.cancel.is_set)


def _idle_instance(situation: Situation) -> RoutedInstance | None:
    """Return the instance in the slot that requests were held for before this rollout. None for an app that serves."""
    return situation.route_instance if situation.route is RouteState.HELD else None


async def _set_previous_gone(
    connection: Connection, app: AppId, previous: RoutedInstance, last: LastOutput
) -> None:
    await last.record(connection, previous.id)
    await routes.forget_previous(connection, app)
