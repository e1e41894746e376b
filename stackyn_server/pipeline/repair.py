"""Job `repair`: the container that should serve an app is lost, or it runs and does not answer.

A lost container is created again for the same instance: same release, slot and address, so the route stays right. A
container that doesn't answer is restarted as it is.
"""

from __future__ import annotations

import structlog

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.crashes import REPAIR_FAILED, RESTARTED, Crash
from stackyn_server.domain.failures import DeploymentFailed, TransientFailure
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.jobs import RepairArguments
from stackyn_server.engine import containers, endings, images
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.crash_limit import give_up, record_crash
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.rollout import probe
from stackyn_server.pipeline.rollout.candidate import container_spec, probe_target, probing_seconds
from stackyn_server.pipeline.rollout.not_ready import EndedFromOutside
from stackyn_server.store import apps, events, instances, releases
from stackyn_server.store.apps import App
from stackyn_server.store.instances import Instance, InstanceState
from stackyn_server.store.releases import Release

log = structlog.get_logger()

_COUNTED = "counted"  # in the job's arguments: an earlier attempt did the restart and counted it


class Repair(JobHandler):
    """The handler of `repair` jobs. It checks everything again, because it holds the app's lock only now."""

    async def __call__(self, job: JobRun) -> None:
        async with self._database.connection() as connection:
            app = await apps.get(connection, AppId(int(job.job.subject)))
            instance = await instances.of_route(connection, app.id) if app else None
            release = await releases.get(connection, instance.release) if instance else None
        if app is None or instance is None or release is None:
            return
        if app.desired is not Desired.RUNNING or instance.state is not InstanceState.UP:
            return
        state = await containers.find(self._engine, instance.id)
        is_present = state is not None and (state.running or state.restarting)
        if is_present and RepairArguments.parse(job.job.arguments).restart != instance.id:
            return
        await job.still_leading()
        if not is_present or state is None:
            log.warning("instance.lost", app=app.id, instance=instance.id)
        elif not job.job.arguments.get(_COUNTED):
            log.warning("instance.restarted", app=app.id, instance=instance.id)
            await containers.restart(self._engine, state.id, self._settings.apps.stop_grace_seconds)
            if await self._counts_too_many(job, app, instance):
                return
        await self._bring_back(job, app, instance, release, was_present=is_present)

    async def _counts_too_many(self, job: JobRun, app: App, instance: Instance) -> bool:
        """Count the restart as a crash, once for all attempts. Returns whether it was one too many, so that the app is
        stopped."""
        crash = Crash(RESTARTED, RepairArguments.parse(job.job.arguments).reason)
        async with self._transaction(job) as connection:
            is_stopped = await record_crash(connection, app, instance.id, crash, self._settings.apps)
            if is_stopped:
                await job.finish(connection)
            else:
                await job.remember(connection, {_COUNTED: True})
        return is_stopped

    async def _bring_back(
        self, job: JobRun, app: App, instance: Instance, release: Release, *, was_present: bool
    ) -> None:
        spec = container_spec(self._settings, self._sealer, app, release, instance)
        reason: str | None = None
        container: str | None = None
        try:
            container = await self._start_container(spec)
            crash_point("repair.started")
            target = probe_target(self._settings, app, release, instance, container)
            seconds = probing_seconds(self._settings, release)
            await probe.until_ready(self._engine, target, self._settings.probe, within_seconds=seconds)
        except TransientFailure:
            raise
        except DeploymentFailed as error:
            reason = error.message
            await self._refuse_if_ended_from_outside(instance)
            if await images.inspect(self._engine, release.image) is None:
                return await self._give_up(job, app, release)
        if container is not None:
            await containers.set_restart(self._engine, container, on=True)
        async with self._transaction(job) as connection:
            if container is not None:
                await instances.set_container(connection, instance.id, container)
            if reason is None:
                await instances.set_back(connection, [instance.id])
                if not was_present:
                    await events.append(connection, "app.repaired", tenant=app.tenant, app=app.id)
                if await instances.set_healthy(connection, instance.id):
                    await events.append(connection, "app.recovered", tenant=app.tenant, app=app.id)
            elif was_present:  # its restart is counted already, and the engine counts its crashes
                await events.append(
                    connection, REPAIR_FAILED, tenant=app.tenant, app=app.id, data={"reason": reason}
                )
            else:
                crash = Crash(REPAIR_FAILED, reason)
                await record_crash(connection, app, instance.id, crash, self._settings.apps)
            await job.finish(connection)
        return None

    async def _refuse_if_ended_from_outside(self, instance: Instance) -> None:
        """Raise `EndedFromOutside` when the engine has ended the container, so that the repair is retried. An engine
        that shuts down ends every container that starts (seen: three repairs ended within a second)."""
        state = await containers.find(self._engine, instance.id)
        if (
            state is not None
            and not state.running
            and await endings.was_ended_from_outside(self._engine, state)
        ):
            raise EndedFromOutside

    async def _give_up(self, job: JobRun, app: App, release: Release) -> None:
        """Stop the app: its image was removed by hand, so no attempt can succeed."""
        async with self._transaction(job) as connection:
            await releases.image_removed(connection, app.id, release.image)
            await give_up(
                connection,
                app.id,
                "The image of the app's release was removed from this server. Deploy the app again.",
            )
            await job.finish(connection)
