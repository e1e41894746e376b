"""Job `cleanup`: remove the container, image and clone of a deployment that ended without going live."""

from __future__ import annotations

from pathlib import Path

from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId
from stackyn_server.engine import containers, images
from stackyn_server.engine.labels import Role
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.context import JobHandler, PipelineContext
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.hosts import confirm_route, hosts_of
from stackyn_server.pipeline.idle.idle_app import wake_previous_release
from stackyn_server.pipeline.rollout.in_place import InPlace
from stackyn_server.source import repository
from stackyn_server.source.clones import clone_of
from stackyn_server.store import apps, deployments, instances, releases, routes


class Cleanup(JobHandler):
    """The handler of `cleanup` jobs.

    It needs no lock against the app's next release: it changes only what belongs to its own deployment, and when both
    want the same slot, the second transaction is refused and its job is tried again.
    """

    def __init__(self, context: PipelineContext, clones: Path) -> None:
        super().__init__(context)
        self._in_place = InPlace(context)
        self._clones = clones

    async def __call__(self, job: JobRun) -> None:
        async with self._database.connection() as connection:
            deployment = await deployments.get(connection, DeploymentId(int(job.job.subject)))
            if deployment is None:
                return
            instance = await instances.of_deployment(connection, deployment.id)
            in_use = deployment.image is not None and await releases.image_in_use(
                connection, deployment.image, apart_from=deployment.id
            )
        # A killed server may have left a builder. A release command has the app's address, which is freed below.
        for role in (Role.BUILDER, Role.RELEASE_COMMAND):
            await containers.remove_of_role(self._engine, role, deployment.id)
        await repository.remove(clone_of(self._clones, deployment.id))
        crash_point("cleanup.clone")
        # A deployment that was cancelled while its job waited for a new server may have left requests held.
        if (stopped := await self._in_place.stop_candidate(job, deployment)) is not None:
            async with self._transaction(job) as connection:
                await wake_previous_release(connection, stopped)
        elif instance is not None:
            await self._confirm_route(job, deployment.app, instance.id)
            await job.still_leading()
            last = await self._take_down(instance.id)
            crash_point("cleanup.container")
            async with self._transaction(job) as connection:
                await last.record(connection, instance.id)
        if not in_use:
            await images.remove(self._engine, images.tag_of(self._engine, deployment.app, deployment.id))
        crash_point("cleanup.image")

    async def _confirm_route(self, job: JobRun, of: AppId, leaving: InstanceId) -> None:
        """Have the proxy confirm today's route before the container is removed: in any attempt the route may
        have led to it."""
        async with self._transaction(job) as connection:
            app = await apps.get(connection, of)
            if app is None:
                return
            await routes.revert(connection, app.id, leaving)  # a no-op unless something broke before
            hosts = await hosts_of(connection, self._settings, app)
            route = await routes.get(connection, app.id)
        await confirm_route(self._ingress, hosts, route.instance if route else None)
