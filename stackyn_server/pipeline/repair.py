"""Job `repair`: the container that should serve an app is gone or ended and the engine won't bring it back, or it runs
and does not answer.

A lost one is made again for the same instance: same release, same slot, same address, so the route is right all the
time. One that doesn't answer is started again as it is.
"""

from __future__ import annotations

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.crashes import REPAIR_FAILED, RESTARTED, Crash
from stackyn_server.domain.failures import DeploymentFailed, TransientFailure
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.jobs import RepairArguments
from stackyn_server.engine import containers, images
from stackyn_server.engine.client import Engine
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.crash_limit import give_up, record_crash
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.rollout import candidate, probe
from stackyn_server.pipeline.rollout.not_ready import EndedFromOutside
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import apps, events, instances, releases
from stackyn_server.store.apps import App
from stackyn_server.store.database import Database
from stackyn_server.store.instances import Instance, InstanceState
from stackyn_server.store.releases import Release

log = structlog.get_logger()

_ENDED_FROM_OUTSIDE = frozenset({128 + 9, 128 + 15})  # exit codes after SIGKILL and SIGTERM


class Repair:
    """The handler of `repair` jobs. Checks everything again, for the app's lock is held only now."""

    def __init__(self, settings: Settings, database: Database, engine: Engine, sealer: Sealer) -> None:
        self._settings = settings
        self._database = database
        self._engine = engine
        self._sealer = sealer

    async def __call__(self, run: JobRun) -> None:
        async with self._database.connection() as connection:
            app = await apps.get(connection, AppId(int(run.job.subject)))
            instance = await instances.serving(connection, app.id) if app else None
            release = await releases.get(connection, instance.release) if instance else None
        if app is None or instance is None or release is None:
            return
        if app.desired is not Desired.RUNNING or instance.state is not InstanceState.UP:
            return
        state = await containers.find(self._engine, instance.id)
        is_present = state is not None and (state.running or state.restarting)
        if is_present and RepairArguments.parse(run.job.arguments).restart != instance.id:
            return
        await run.still_leading()
        if is_present and state is not None:
            log.warning("instance.restarted", app=app.id, instance=instance.id)
            await containers.restart(self._engine, state.id, self._settings.apps.stop_grace_seconds)
            if await self._counts_too_many(run, app, instance):
                return
        else:
            log.warning("instance.lost", app=app.id, instance=instance.id)
        await self._bring_back(run, app, instance, release, was_present=is_present)

    async def _counts_too_many(self, run: JobRun, app: App, instance: Instance) -> bool:
        """Count the restart like a crash. True when that was one too many, and the app is stopped."""
        crash = Crash(RESTARTED, RepairArguments.parse(run.job.arguments).reason)
        async with self._database.transaction() as connection:
            is_stopped = await record_crash(connection, app, instance.id, crash, self._settings.apps)
            if is_stopped:
                await run.finish(connection)
        return is_stopped

    async def _bring_back(
        self, run: JobRun, app: App, instance: Instance, release: Release, *, was_present: bool
    ) -> None:
        spec = candidate.container_spec(self._settings, self._sealer, app, release, instance)
        reason: str | None = None
        container: str | None = None
        try:
            container = await containers.start(self._engine, spec)
            crash_point("repair.started")
            target = candidate.target(self._settings, app, release, instance, container)
            seconds = candidate.probing_seconds(self._settings, release)
            await probe.until_ready(self._engine, target, self._settings.probe, within_seconds=seconds)
        except TransientFailure:
            raise
        except DeploymentFailed as error:
            reason = error.message
            await self._refuse_if_ended_from_outside(instance)
            if await images.inspect(self._engine, release.image) is None:
                return await self._give_up(run, app, release)
        if container is not None:
            await containers.set_restart(self._engine, container, on=True)
        async with self._database.transaction() as connection:
            if container is not None:
                await instances.set_container(connection, instance.id, container)
            if reason is None:
                await instances.set_back(connection, [instance.id])
                if not was_present:
                    await events.append(connection, "app.repaired", tenant=app.tenant, app=app.id)
                if await instances.set_healthy(connection, instance.id):
                    await events.append(connection, "app.recovered", tenant=app.tenant, app=app.id)
            elif was_present:  # its restart was counted; what it does now the engine counts
                await events.append(
                    connection, REPAIR_FAILED, tenant=app.tenant, app=app.id, data={"reason": reason}
                )
            else:
                crash = Crash(REPAIR_FAILED, reason)
                await record_crash(connection, app, instance.id, crash, self._settings.apps)
            await run.finish(connection)
        return None

    async def _refuse_if_ended_from_outside(self, instance: Instance) -> None:
        """An engine that is being stopped ends whatever starts: that says nothing about the app, so it is tried again
        (seen: three repairs within a second, each ended by the engine on its way out). Raises `TransientFailure`."""
        state = await containers.find(self._engine, instance.id)
        if state is not None and not state.out_of_memory and state.exit_code in _ENDED_FROM_OUTSIDE:
            raise EndedFromOutside

    async def _give_up(self, run: JobRun, app: App, release: Release) -> None:
        """Somebody removed the image by hand: no attempt can succeed."""
        async with self._database.transaction() as connection:
            await releases.image_removed(connection, app.id, release.image)
            await give_up(
                connection,
                app.id,
                "The image of the app's release was removed from this server. Deploy the app again.",
            )
            await run.finish(connection)
