"""What a tenant may do with deployments and releases: ask for one, look, cancel, go back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Cause, Phase
from stackyn_server.domain.ids import AppId, DeploymentId, ReleaseId, UserId
from stackyn_server.domain.jobs import Kind
from stackyn_server.errors import Conflict, NotFound
from stackyn_server.services.deploy_requests import (
    Leader,
    build_again,
    build_priority,
    end_jobless,
    end_waiting,
    lock_app,
    run_again,
)
from stackyn_server.services.payment import require_still_paid
from stackyn_server.services.views import Created, DeploymentView, app_view, deployment_view
from stackyn_server.store import apps, deployments, instances, jobs, releases
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Deployment, Mover
from stackyn_server.store.jobs import Waiting
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


class Deployments:
    def __init__(self, database: Database, settings: Settings, leader: Leader) -> None:
        self._database = database
        self._settings = settings
        self._leader = leader

    async def redeploy(self, tenant: UserId | None, plan: str, app: AppId) -> Created:
        """Build the branch again. Waiting older deployments end superseded, a running one finishes first."""
        mover = Mover(self._leader.epoch, "api:redeploy")
        async with self._database.transaction() as connection:
            await require_still_paid(connection, tenant)
            found = await lock_app(connection, app, tenant)
            deployment = await build_again(connection, found, build_priority(self._settings, plan), mover)
            return await self._wanted(connection, found, deployment)

    async def restart(self, tenant: UserId | None, app: AppId) -> Created:
        """Run the current release again with today's variables and settings, through the same gated switch."""
        return await self._run_again(tenant, app, Cause.RESTART)

    async def start(self, tenant: UserId | None, app: AppId) -> Created | None:
        """Run a stopped app's release again, without a build. None when the app is not stopped."""
        async with self._database.connection() as connection:
            found = await self._app(connection, app, tenant)
        if found.desired is Desired.RUNNING and found.current_release is not None:
            return None
        return await self._run_again(tenant, app, Cause.START)

    async def rollback(self, tenant: UserId | None, app: AppId, number: int) -> Created:
        """Go back to release `number`: same image, same environment, no build."""
        return await self._run_again(tenant, app, Cause.ROLLBACK, number)

    async def get(self, tenant: UserId | None, deployment: DeploymentId) -> DeploymentView:
        async with self._database.connection() as connection:
            row = await self._deployment(connection, deployment, tenant)
            found = await self._app(connection, row.app, tenant)
            instance = await instances.newest_of_deployment(connection, deployment)
            waiting = await self._waiting(connection, row.app)
        container = instance.container if instance else None
        return deployment_view(row, slug=found.slug, container=container, waiting=waiting)

    async def cancel(self, tenant: UserId | None, deployment: DeploymentId) -> DeploymentView:
        """End it as soon as its processes are gone; what serves goes on serving. Idempotent."""
        mover = Mover(self._leader.epoch, "api:cancel")
        async with self._database.transaction() as connection:
            row = await self._deployment(connection, deployment, tenant)
            found = await lock_app(connection, row.app, tenant)
            for kind in (Kind.BUILD, Kind.RELEASE):
                subjects = await jobs.request_cancel(connection, kind=kind, subject=str(deployment))
                await end_waiting(connection, subjects, Phase.CANCELLED, mover)
            await end_jobless(connection, found.id, Phase.CANCELLED, mover, only=deployment)
            row = await self._deployment(connection, deployment, tenant)
        return deployment_view(row, slug=found.slug)

    async def releases(self, tenant: UserId | None, app: AppId) -> list[ReleaseView]:
        """Return the app's releases, newest first."""
        async with self._database.connection() as connection:
            found = await self._app(connection, app, tenant)
            rows = await releases.numbered_of_app(connection, app)
        return [
            ReleaseView(
                number=row.number or 0,
                deployment=row.deployment,
                commit=row.commit,
                image=row.image,
                created_at=row.live_at or row.created_at,
                is_current=row.id == found.current_release,
                is_available=row.image_removed_at is None,
            )
            for row in rows
        ]

    async def list(self, tenant: UserId | None, app: AppId) -> list[DeploymentView]:
        """Return the app's deployments, newest first."""
        async with self._database.connection() as connection:
            found = await self._app(connection, app, tenant)
            rows = await deployments.list_of_app(connection, app)
            waiting = await self._waiting(connection, app)
        return [deployment_view(row, slug=found.slug, waiting=waiting) for row in rows]

    async def _waiting(self, connection: Connection, app: AppId) -> Sequence[Waiting]:
        return await jobs.waiting(connection, [app], self._settings.jobs.priority_minutes)

    async def _run_again(
        self, tenant: UserId | None, app: AppId, cause: Cause, number: int | None = None
    ) -> Created:
        mover = Mover(self._leader.epoch, f"api:{cause.value}")
        async with self._database.transaction() as connection:
            await require_still_paid(connection, tenant)
            found = await lock_app(connection, app, tenant)
            release = await self._source(connection, found, number)
            deployment = await run_again(connection, found, release, cause, mover)
            await jobs.shorten_retire_deadlines(connection, app, self._settings.apps.stop_grace_seconds)
            return await self._wanted(connection, found, deployment)

    async def _source(self, connection: Connection, app: App, number: int | None) -> Release:
        if number is not None:
            release = await releases.of_number(connection, app.id, number)
        else:
            release = await self._current(connection, app.current_release)
        if release is None:
            sentence = (
                "This app has no release yet." if number is None else f"This app has no release {number}."
            )
            raise Conflict(sentence, hint="Deploy it first.")
        if release.image_removed_at is not None:
            raise Conflict(
                f"The image of release {release.number} is gone.",
                hint="Choose a newer release or deploy again.",
            )
        return release

    @staticmethod
    async def _current(connection: Connection, release: ReleaseId | None) -> Release | None:
        return await releases.get(connection, release) if release is not None else None

    async def _wanted(self, connection: Connection, app: App, deployment: Deployment) -> Created:
        """The app is to run from now on; return both as the client must see them at once."""
        await apps.set_desired(connection, app.id, Desired.RUNNING)
        state = (await apps.view(connection, app=app.id))[0]
        return Created(app_view(self._settings, state), deployment_view(deployment, slug=app.slug))

    @staticmethod
    async def _app(connection: Connection, app: AppId, tenant: UserId | None) -> App:
        found = await apps.of_tenant(connection, app, tenant)
        if found is None:
            raise NotFound("There is no such app.")
        return found

    @staticmethod
    async def _deployment(
        connection: Connection, deployment: DeploymentId, tenant: UserId | None
    ) -> Deployment:
        row = await deployments.get_of_tenant(connection, deployment, tenant)
        if row is None:
            raise NotFound("There is no such deployment.")
        return row
