"""Job `repair`: the container that should serve an app is gone or ended, and the engine won't bring it back.

It is made again for the same instance: same release, same slot, same address, so the route is right all the time.
"""

from __future__ import annotations

import asyncio

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.failures import DeploymentFailed, TransientFailure
from stackyn_server.domain.ids import AppId
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline import candidates, probe
from stackyn_server.pipeline.crashpoints import crash_point
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import apps, events, instances, releases
from stackyn_server.store.database import Database
from stackyn_server.store.instances import InstanceState

log = structlog.get_logger()


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
        if state is not None and (state.running or state.restarting):
            return
        log.warning("instance.lost", app=app.id, instance=instance.id)
        await run.still_leading()
        spec = candidates.container_spec(self._settings, self._sealer, app, release, instance)
        try:
            container = await containers.start(self._engine, spec)
            crash_point("repair.started")
            target = probe.Target(container, spec.address, release.port, release.health_path)
            async with asyncio.timeout(self._settings.deadlines.probing):
                await probe.until_ready(self._engine, target, self._settings.probe, steady_seconds=0)
            await containers.set_restart(self._engine, container, on=True)
            reason = None
        except TransientFailure:
            raise
        except DeploymentFailed as error:
            reason = error.message
        except TimeoutError:
            reason = "It did not answer in time after it was started again."
        async with self._database.transaction() as connection:
            if reason is None:
                await instances.set_container(connection, instance.id, container)
                await events.append(connection, "app.repaired", tenant=app.tenant, app=app.id)
            else:
                await events.append(
                    connection, "app.repair_failed", tenant=app.tenant, app=app.id, data={"reason": reason}
                )
            await run.finish(connection)
