"""Watch a release after its switch when nothing served before: an app's first one, and each start of a stopped app.

It went live as soon as it answered, and is watched now for as long as a redeploy is watched before its switch: an app
that ends in that time is a failed deployment, not a crash.
"""

from __future__ import annotations

import asyncio

import structlog

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import DeploymentFailed, TransientFailure
from stackyn_server.domain.jobs import Kind
from stackyn_server.engine import containers
from stackyn_server.jobs.run import JobCancelled
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.rollout import probe
from stackyn_server.pipeline.rollout.not_ready import EndedFromOutside
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import instances, jobs, routes
from stackyn_server.store.deployments import Moved, StepResults
from stackyn_server.store.instances import InstanceState

log = structlog.get_logger()


class FirstReleaseWatch(JobHandler):
    """Ends the release job of a first deployment. Until then the engine does not restart its container."""

    async def watch(self, run: DeploymentRun) -> None:
        """Return when the time has passed, or the deployment has been failed with its last lines. Idempotent.

        Raises `JobCancelled`: somebody stops the app or deletes it.
        """
        async with self._database.connection() as connection:
            instance = await instances.of_deployment(connection, run.deployment.id)
        if instance is None or instance.state is not InstanceState.UP:
            return
        container = instance.container or ""
        try:
            await run.job.until_cancelled(self._until_steady(run, container))
        except JobCancelled:
            # As for any instance that will be stopped.
            await containers.set_restart(self._engine, container, on=True)
            raise
        except EndedFromOutside:
            return  # by hand, or with the engine: the reconciler has it repaired
        except TransientFailure:
            raise
        except DeploymentFailed as error:
            if await containers.inspect(self._engine, container) is not None:
                await self._fail(run, error)  # a container that somebody has removed is made again

    async def _until_steady(self, run: DeploymentRun, container: str) -> None:
        settings = self._settings.probe
        live_at = run.deployment.live_at or run.job.now()
        while (run.job.now() - live_at).total_seconds() < settings.steady_seconds:
            await probe.running_state(self._engine, container)
            await asyncio.sleep(settings.interval_seconds)
        await probe.running_state(self._engine, container)
        await containers.set_restart(self._engine, container, on=True)

    async def _fail(self, run: DeploymentRun, error: DeploymentFailed) -> None:
        log.info("deployment.failed", code=error.failure.code.value, phase=Phase.LIVE.value)
        run.write_failure(error.failure)
        await run.flush_log()
        try:
            async for attempt in run.recording(Phase.FAILED, StepResults(failure=error.failure)):
                async with attempt as transaction:
                    await routes.withdraw(transaction, run.deployment.app)
                    await jobs.enqueue_for_deployment(transaction, Kind.CLEANUP, run.deployment)
                    await run.job.finish(transaction)
        except Moved:
            log.info("deployment.moved_elsewhere")
