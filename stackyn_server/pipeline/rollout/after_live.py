"""A first release after its switch: it went live as soon as it answered, and is watched for the time that a redeploy
is watched before. What ends then is no crash of an app that runs, but a deployment that failed."""

from __future__ import annotations

import asyncio

import structlog

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import DeploymentFailed, TransientFailure
from stackyn_server.domain.jobs import CleanupArguments, Kind
from stackyn_server.engine import containers
from stackyn_server.jobs.run import JobCancelled
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.rollout import probe
from stackyn_server.pipeline.rollout.not_ready import EndedFromOutside
from stackyn_server.pipeline.run import DeploymentRun, write_failure
from stackyn_server.store import deployments, instances, jobs, routes
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Moved
from stackyn_server.store.instances import Instance, InstanceState

log = structlog.get_logger()


class AfterLive(JobHandler):
    """Ends the release job of a first deployment. The engine does not bring its container back meanwhile."""

    async def watch(self, run: DeploymentRun) -> None:
        """Return when the time has passed, or the deployment has been failed with its last lines. Safe to repeat.

        Raises `JobCancelled`: somebody stops the app or deletes it.
        """
        async with self._database.connection() as connection:
            instance = await instances.of_deployment(connection, run.deployment.id)
        if instance is None or instance.state is not InstanceState.UP:
            return
        try:
            await run.job.until_cancelled(self._until_steady(run, instance))
        except JobCancelled:
            await self._keep_up(instance)  # whoever takes it away knows how to
            raise
        except EndedFromOutside:
            return  # by hand, or with the engine: the comparison of rows and containers brings it back
        except TransientFailure:
            raise
        except DeploymentFailed as error:
            if await containers.inspect(self._engine, instance.container or "") is not None:
                await self._fail(run, error)  # one that somebody has removed is made again

    async def _until_steady(self, run: DeploymentRun, instance: Instance) -> None:
        chosen = self._settings.probe
        live_at = run.deployment.live_at or run.job.now()
        while (run.job.now() - live_at).total_seconds() < chosen.steady_seconds:
            await probe.running_state(self._engine, instance.container or "")
            await asyncio.sleep(chosen.interval_seconds)
        await probe.running_state(self._engine, instance.container or "")
        await self._keep_up(instance)

    async def _keep_up(self, instance: Instance) -> None:
        await containers.set_restart(self._engine, instance.container or "", on=True)

    async def _fail(self, run: DeploymentRun, error: DeploymentFailed) -> None:
        log.info("deployment.failed", code=error.failure.code.value, phase=Phase.LIVE.value)
        write_failure(run, error.failure)
        await run.journal.flush(run.deployment.id)

        async def write(connection: Connection) -> None:
            failed = await deployments.advance(
                connection, run.deployment, Phase.FAILED, run.mover, failure=error.failure
            )
            await routes.withdraw(connection, failed.app)
            await jobs.enqueue_for_deployment(
                connection, Kind.CLEANUP, failed, CleanupArguments.after(Phase.LIVE)
            )
            await run.job.finish(connection)

        try:
            await run.record(write)
        except Moved:
            log.info("deployment.moved_elsewhere")
