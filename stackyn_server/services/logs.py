"""Build logs and runtime logs, stored and followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from stackyn_server.config import Settings
from stackyn_server.domain.deployments import Phase, Status, status_of
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.domain.logs import LogChunk, LogEntry, LogKind, LogLine
from stackyn_server.engine import containers
from stackyn_server.engine import logs as engine_logs
from stackyn_server.engine.client import Engine
from stackyn_server.errors import NotFound, StackynError
from stackyn_server.journal.journal import Journal
from stackyn_server.services.app_access import find_app, find_deployment
from stackyn_server.services.build_log_stream import follow_build_log
from stackyn_server.services.runtime_log_right import NOT_INCLUDED, includes_runtime_logs
from stackyn_server.services.views import error_message, queue_line, wait_of
from stackyn_server.store import accounts, instances, jobs, logs
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.instances import Instance, InstanceState

_BUILD_LOG_BYTES = 1024**2
_RUNTIME_LINES = 500
_ENGINE_SECONDS = 2.0  # the one wait for the engine that the contract allows inside a request


@dataclass(frozen=True, slots=True)
class DeploymentLogsView:
    """`notice` says why there is no runtime log where the plan doesn't include it; `runtime_log` says so too then."""

    deployment_id: DeploymentId
    status: Status
    build_log: str | None
    runtime_log: str | None
    error_message: str | None
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class ResumedLog:
    """Of `app`; the chunks after chunk `after` come next."""

    app: AppId
    after: int


class Logs:
    def __init__(self, database: Database, settings: Settings, engine: Engine, journal: Journal) -> None:
        self._database = database
        self._settings = settings
        self._engine = engine
        self._journal = journal

    async def of_deployment(self, tenant: UserId | None, deployment: DeploymentId) -> DeploymentLogsView:
        """Return both logs; the build log grows while it is built."""
        async with self._database.connection() as connection:
            row = await find_deployment(connection, deployment, tenant)
            instance = await instances.newest_of_deployment(connection, deployment)
            build_log = await logs.read_text(connection, deployment, "build", _BUILD_LOG_BYTES)
            if row.phase in (Phase.QUEUED, Phase.BUILT):
                waiting = await jobs.waiting(connection, [row.app], self._settings.jobs.priority_minutes)
                build_log += queue_line(wait_of(row, waiting))
            included = await self._plan_has_logs(connection, row.tenant)
        runtime_log: str | None = NOT_INCLUDED
        if included:
            runtime_log = await self._runtime(instance) if instance is not None else None
        return DeploymentLogsView(
            deployment_id=deployment,
            status=status_of(row.phase),
            build_log=build_log or None,
            runtime_log=runtime_log or None,
            error_message=error_message(row),
            notice=None if included else NOT_INCLUDED,
        )

    async def of_app(
        self, tenant: UserId | None, app: AppId, kind: LogKind, *, limit: int, offset: int
    ) -> list[LogEntry]:
        """Return stored log pieces of the app, newest first."""
        async with self._database.connection() as connection:
            await find_app(connection, app, tenant)
            return await logs.list_of_app(connection, app, kind, limit=limit, offset=offset)

    async def resume_build(self, tenant: UserId | None, deployment: DeploymentId, after: int) -> ResumedLog:
        """Return where the build log resumes: after chunk `after`, or 0 if the log has no such chunk."""
        async with self._database.connection() as connection:
            row = await find_deployment(connection, deployment, tenant)
            has_chunk = await logs.has_chunk(connection, deployment, "build", after)
        return ResumedLog(row.app, after if has_chunk else 0)

    def follow_build(
        self, tenant: UserId | None, deployment: DeploymentId, after: int
    ) -> AsyncGenerator[LogChunk | Status, None]:
        """Yield the chunks of the build log after chunk `after` as it grows, each once, then the final status."""
        return follow_build_log(
            self._database,
            self._journal,
            tenant,
            deployment,
            after,
            reread_seconds=self._settings.streams.reread_seconds,
        )

    async def follow_runtime(
        self, tenant: UserId | None, app: AppId, *, since: datetime | None, tail: int
    ) -> AsyncGenerator[LogLine, None]:
        """Yield the lines of the serving container until the reader leaves. Raises `NotFound` without a container."""
        async with self._database.connection() as connection:
            await find_app(connection, app, tenant)
            instance = await instances.of_route(connection, app)
        if instance is None or instance.container is None:
            raise NotFound("This app is not running.")
        return engine_logs.read(self._engine, instance.container, follow=True, since=since, tail=tail)

    async def _runtime(self, instance: Instance) -> str | None:
        """Return the last lines of the container: from the engine, or the stored ones after the container is gone."""
        if instance.state is InstanceState.GONE or instance.container is None:
            return instance.last_lines
        try:
            async with asyncio.timeout(_ENGINE_SECONDS):
                return await containers.last_lines(self._engine, instance.container, _RUNTIME_LINES)
        except (TimeoutError, StackynError):
            return instance.last_lines

    async def _plan_has_logs(self, connection: Connection, tenant: UserId) -> bool:
        account = await accounts.get(connection, tenant)
        return account is not None and includes_runtime_logs(self._settings, account.plan)
