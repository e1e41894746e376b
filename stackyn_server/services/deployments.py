"""What a tenant may do with deployments and releases: ask for one, look, cancel, go back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Cause, Phase
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.domain.jobs import Kind
from stackyn_server.errors import Conflict
from stackyn_server.services.account_views import require_disk
from stackyn_server.services.app_access import find_app, find_deployment, lock_app
from stackyn_server.services.deploy_requests import (
    Leader,
    build_priority,
    end_jobless,
    end_waiting,
    request_build,
    request_release,
)
from stackyn_server.services.payment import require_still_paid
from stackyn_server.services.views import CreatedView, DeploymentView, app_view, deployment_view
from stackyn_server.store import apps, deployments, instances, jobs, releases
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Deployment, Mover
from stackyn_server.store.jobs import WaitingJob
from stackyn_server.store.releases import Release


@dataclass(frozen=True, slots=True)
class ReleaseView:
    number: int
    deployment: DeploymentId
    commit: str | None
    image: str
    created_at: datetime
    is_current: bool
    is_available: bool


async def current_release(connection: Connection, app: App) -> Release | None:
    return await releases.get(connection, app.current_release) if app.current_release else None


async def run_release(
    connection: Connection, settings: Settings, app: App, release: Release, cause: Cause, mover: Mover
) -> Deployment:
    """Run a release again at its owner's or at billing's request. The app's row is locked."""
    grace_seconds = settings.apps.stop_grace_seconds
    return await request_release(connection, app, release, cause, mover, stop_grace_seconds=grace_seconds)


class Deployments:
    def __init__(self, database: Database, settings: Settings, leader: Leader) -> None:
        self._database = database
        self._settings = settings
        self._leader = leader

    async def redeploy(self, tenant: UserId | None, plan: str, app_id: AppId) -> CreatedView:
        """Build the branch again. Older deployments that wait are superseded, a running one finishes first.

        Raises `Forbidden` when its owner, not an administrator, occupies more disk than the plan has.
        """
        async with self._database.transaction() as connection:
            return await self.redeploy_within(connection, tenant, plan, app_id)

    async def redeploy_within(
        self, connection: Connection, tenant: UserId | None, plan: str, app_id: AppId
    ) -> CreatedView:
        """Do what `redeploy` does in the caller's transaction."""
        mover = Mover(self._leader.epoch, "api:redeploy")
        await require_still_paid(connection, tenant)
        app = await lock_app(connection, app_id, tenant)
        if tenant is not None:
            await require_disk(connection, self._settings, tenant, plan)
        deployment = await request_build(connection, app, build_priority(self._settings, plan), mover)
        return await self._created(connection, app, deployment)

    async def restart(self, tenant: UserId | None, app_id: AppId) -> CreatedView:
        """Run the current release again with today's variables and settings, through the same checked switch."""
        return await self._run_again(tenant, app_id, Cause.RESTART)

    async def start(self, tenant: UserId | None, app_id: AppId) -> CreatedView | None:
        """Run an app's release again, without a build. None when the app serves, or a deployment is bringing it up."""
        async with self._database.transaction() as connection:
            return await self.start_within(connection, tenant, app_id)

    async def start_within(
        self, connection: Connection, tenant: UserId | None, app_id: AppId
    ) -> CreatedView | None:
        """Do what `start` does in the caller's transaction."""
        await require_still_paid(connection, tenant)
        app = await lock_app(connection, app_id, tenant)
        runs = app.desired is Desired.RUNNING and (
            await deployments.live_of_app(connection, app_id) is not None
            or await deployments.has_open(connection, app_id)
        )
        if runs and app.current_release is not None:
            return None
        return await self._run_again_within(connection, tenant, app_id, Cause.START)

    async def rollback(self, tenant: UserId | None, app_id: AppId, number: int) -> CreatedView:
        """Go back to release `number`: same image, same environment, no build."""
        return await self._run_again(tenant, app_id, Cause.ROLLBACK, number)

    async def get(self, tenant: UserId | None, deployment_id: DeploymentId) -> DeploymentView:
        async with self._database.connection() as connection:
            deployment = await find_deployment(connection, deployment_id, tenant)
            app = await find_app(connection, deployment.app, tenant)
            instance = await instances.newest_of_deployment(connection, deployment_id)
            waiting = await self._waiting(connection, app.id)
        container = instance.container if instance else None
        return deployment_view(deployment, slug=app.slug, container=container, waiting=waiting)

    async def cancel(self, tenant: UserId | None, deployment_id: DeploymentId) -> DeploymentView:
        """Cancel the deployment once its processes are gone; the serving instance is not affected. Idempotent."""
        mover = Mover(self._leader.epoch, "api:cancel")
        async with self._database.transaction() as connection:
            deployment = await find_deployment(connection, deployment_id, tenant)
            app = await lock_app(connection, deployment.app, tenant)
            for kind in (Kind.BUILD, Kind.RELEASE):
                subjects = await jobs.request_cancel(connection, kind=kind, subject=str(deployment_id))
                await end_waiting(connection, subjects, Phase.CANCELLED, mover)
            await end_jobless(connection, app.id, Phase.CANCELLED, mover, only=deployment_id)
            deployment = await find_deployment(connection, deployment_id, tenant)
        return deployment_view(deployment, slug=app.slug)

    async def releases(self, tenant: UserId | None, app_id: AppId) -> list[ReleaseView]:
        """Return the app's releases, newest first."""
        async with self._database.connection() as connection:
            app = await find_app(connection, app_id, tenant)
            numbered = await releases.numbered_of_app(connection, app_id)
        return [
            ReleaseView(
                number=release.number or 0,
                deployment=release.deployment,
                commit=release.commit,
                image=release.image,
                created_at=release.live_at or release.created_at,
                is_current=release.id == app.current_release,
                is_available=release.image_removed_at is None,
            )
            for release in numbered
        ]

    async def list(self, tenant: UserId | None, app_id: AppId) -> list[DeploymentView]:
        """Return the app's deployments, newest first."""
        async with self._database.connection() as connection:
            app = await find_app(connection, app_id, tenant)
            newest_first = await deployments.list_of_app(connection, app_id)
            waiting = await self._waiting(connection, app_id)
        return [deployment_view(deployment, slug=app.slug, waiting=waiting) for deployment in newest_first]

    async def _waiting(self, connection: Connection, app_id: AppId) -> Sequence[WaitingJob]:
        return await jobs.waiting(connection, [app_id], self._settings.jobs.priority_minutes)

    async def _run_again(
        self, tenant: UserId | None, app_id: AppId, cause: Cause, number: int | None = None
    ) -> CreatedView:
        async with self._database.transaction() as connection:
            return await self._run_again_within(connection, tenant, app_id, cause, number)

    async def _run_again_within(
        self,
        connection: Connection,
        tenant: UserId | None,
        app_id: AppId,
        cause: Cause,
        number: int | None = None,
    ) -> CreatedView:
        mover = Mover(self._leader.epoch, f"api:{cause.value}")
        await require_still_paid(connection, tenant)
        app = await lock_app(connection, app_id, tenant)
        release = await self._runnable_release(connection, app, number)
        deployment = await run_release(connection, self._settings, app, release, cause, mover)
        return await self._created(connection, app, deployment)

    @staticmethod
    async def _runnable_release(connection: Connection, app: App, number: int | None) -> Release:
        """Return release `number` (None: the current one). Raises `Conflict` when it or its image is not there."""
        if number is not None:
            release = await releases.of_number(connection, app.id, number)
        else:
            release = await current_release(connection, app)
        if release is None:
            which = "release yet" if number is None else f"release {number}"
            raise Conflict(f"This app has no {which}.", hint="Deploy it first.")
        if release.image_removed_at is not None:
            raise Conflict(
                f"The image of release {release.number} is gone.",
                hint="Choose a newer release or deploy again.",
            )
        return release

    async def _created(self, connection: Connection, app: App, deployment: Deployment) -> CreatedView:
        """Return both as the client must see them at once."""
        state = (await apps.view(connection, app=app.id))[0]
        return CreatedView(app_view(self._settings, state), deployment_view(deployment, slug=app.slug))
