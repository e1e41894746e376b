"""The progress of an app's newest deployment, and a check of its container and route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.domain.notices import DeploymentMoved, Notice, Unclear
from stackyn_server.engine.labels import container_name
from stackyn_server.services.app_access import find_app
from stackyn_server.store import deployments, instances, releases, routes
from stackyn_server.store.database import Database
from stackyn_server.store.instances import InstanceState
from stackyn_server.store.routes import RouteState


@dataclass(frozen=True, slots=True)
class Progress:
    """`version` grows with each change of the deployment."""

    deployment: DeploymentId
    version: int
    phase: Phase
    error_message: str | None


@dataclass(frozen=True, slots=True)
class AppCheck:
    """The serving container as the database records it. `errors` has a sentence for each failed check."""

    app: AppId
    app_name: str
    slug: str
    url: str
    container: str
    container_name: str
    port: int
    is_running: bool
    is_routed: bool
    is_probed: bool
    errors: list[str]

    @property
    def is_right(self) -> bool:
        return not self.errors


class ProgressReader:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def newest(self, tenant: UserId | None, app: AppId) -> Progress | None:
        """Return the newest deployment's progress, None before there is one. Raises `NotFound`."""
        async with self._database.connection() as connection:
            await find_app(connection, app, tenant)
            rows = await deployments.list_of_app(connection, app, limit=1)
        if not rows:
            return None
        message = rows[0].failure["message"] if rows[0].failure else None
        return Progress(rows[0].id, rows[0].version, rows[0].phase, message)

    async def follow(self, tenant: UserId | None, app: AppId) -> AsyncGenerator[Progress, None]:
        """Yield the progress of the app's newest deployment now, and with each change.

        The rows are read at the beginning, each `[streams] reread_seconds`, and after notices were missed. Raises
        `NotFound` when the app is gone, `DatabaseUnavailable`.
        """
        loop, last = asyncio.get_running_loop(), Progress(DeploymentId(0), -1, Phase.QUEUED, None)
        with self._database.bulletin.subscribe(lambda notice: _tells_progress(notice, app)) as news:
            while True:
                reread_at = loop.time() + self._settings.streams.reread_seconds
                progress = await self.newest(tenant, app)
                while True:
                    if progress is not None and _is_later(progress, last):
                        yield progress
                        last = progress
                    notice = await news.next(reread_at)
                    if not isinstance(notice, DeploymentMoved):
                        break
                    progress = Progress(notice.deployment, notice.version, notice.phase, notice.message)

    async def verify(self, tenant: UserId | None, app: AppId) -> AppCheck:
        """Check the rows of the app's container and route against what its owner wants."""
        async with self._database.connection() as connection:
            app_row = await find_app(connection, app, tenant)
            instance = await instances.of_route(connection, app)
            route = await routes.get(connection, app)
            release = await releases.get(connection, instance.release) if instance else None
        is_running = (
            instance is not None and instance.state is InstanceState.UP and instance.down_since is None
        )
        is_routed = route is not None and route.state is RouteState.SERVING
        is_probed = instance is not None and instance.up_at is not None
        checks = {
            "The app is stopped.": app_row.desired is Desired.RUNNING,
            "No container of the app is running.": is_running,
            "No route leads to the app.": is_routed,
            "The container has not answered its first check yet.": is_probed,
        }
        return AppCheck(
            app=app,
            app_name=app_row.name,
            slug=app_row.slug,
            url=self._settings.public_url(app_row.slug),
            container=(instance.container or "") if instance else "",
            container_name=container_name(instance.id) if instance else "",
            port=release.port if release else 0,
            is_running=is_running,
            is_routed=is_routed,
            is_probed=is_probed,
            errors=[sentence for sentence, is_so in checks.items() if not is_so],
        )


def _tells_progress(notice: Notice, app: AppId) -> bool:
    return notice.app == app and isinstance(notice, (DeploymentMoved, Unclear))


def _is_later(progress: Progress, last: Progress) -> bool:
    return (progress.deployment, progress.version) > (last.deployment, last.version)
