"""Build logs and runtime logs, whole and followed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime

from stackyn_server.config import Settings
from stackyn_server.domain.deployments import Phase, Status, status_of
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.domain.logs import LogChunk, LogEntry, LogKind, LogLine, RuntimeChunk
from stackyn_server.engine.timestamps import to_nanoseconds
from stackyn_server.errors import NotFound
from stackyn_server.journal.journal import Journal
from stackyn_server.journal.runtime_followers import RuntimeFollowers
from stackyn_server.journal.runtime_logs import RuntimeLogs
from stackyn_server.services.app_access import find_app, find_deployment
from stackyn_server.services.build_log_stream import follow_build_log
from stackyn_server.services.runtime_log_right import (
    NOT_INCLUDED,
    includes_runtime_logs,
    require_runtime_logs,
)
from stackyn_server.services.runtime_log_stream import follow_runtime_log
from stackyn_server.services.views import error_message, queue_line, wait_of
from stackyn_server.store import accounts, instances, jobs, logs, routes
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.routes import RouteState

_BUILD_LOG_BYTES = 1024**2
_RUNTIME_LINES = 500


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
    def __init__(
        self,
        database: Database,
        settings: Settings,
        journal: Journal,
        runtime_logs: RuntimeLogs,
        followers: RuntimeFollowers,
    ) -> None:
        self._database = database
        self._settings = settings
        self._journal = journal
        self._runtime_logs = runtime_logs
        self._followers = followers

    async def of_deployment(self, tenant: UserId | None, deployment: DeploymentId) -> DeploymentLogsView:
        """Return both logs; the build log grows while it is built."""
        async with self._database.connection() as connection:
            row = await find_deployment(connection, deployment, tenant)
            build_log = await logs.read_text(connection, deployment, "build", _BUILD_LOG_BYTES)
            if row.phase in (Phase.QUEUED, Phase.BUILT):
                waiting = await jobs.waiting(connection, [row.app], self._settings.jobs.priority_minutes)
                build_log += queue_line(wait_of(row, waiting))
            included = await self._plan_has_logs(connection, row.tenant)
        runtime_log = NOT_INCLUDED
        if included:
            runtime = await self._runtime_logs.read(row.app, deployment, tail=_RUNTIME_LINES)
            runtime_log = "\n".join(line.text for line in runtime.lines)
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
        """Return the pieces of the app's log, newest first. Of its output, what only the engine has comes first."""
        async with self._database.connection() as connection:
            row = await find_app(connection, app, tenant)
            if kind == "runtime" and not await self._plan_has_logs(connection, row.tenant):
                return [] if offset else [_entry(app, None, datetime.now(UTC), NOT_INCLUDED)]
            outputs = await instances.outputs_of_app(connection, app) if kind == "runtime" else []
        present = await self._runtime_logs.present(outputs, tail=_RUNTIME_LINES)
        newest = [
            _entry(app, output.deployment, lines[-1].at, RuntimeChunk.of(lines).content)
            for output, lines in reversed(present.items())
            if lines
        ]
        async with self._database.connection() as connection:
            stored = await logs.list_of_app(
                connection, app, kind, limit=limit, offset=max(0, offset - len(newest))
            )
        return [*newest[offset:], *stored][:limit]

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
        self, tenant: UserId | None, app: AppId, *, since: datetime | int | None, tail: int
    ) -> AsyncGenerator[list[LogLine], None]:
        """Yield what the app writes: its last `tail` lines after `since` (a time, or the nanoseconds of a line), then
        new ones, over deploys and sleeps, until the reader leaves or is too slow.

        Raises `NotFound` for an app that is not to run or never did, `Forbidden` where the plan has no runtime logs.
        """
        async with self._database.connection() as connection:
            row = await find_app(connection, app, tenant)
            account = await accounts.get(connection, row.tenant)
            require_runtime_logs(self._settings, account.plan if account else "")
            route = await routes.get(connection, app)
        if route is None or route.state is RouteState.WITHDRAWN:
            raise NotFound("This app is not running.")
        after = to_nanoseconds(since) if isinstance(since, datetime) else since
        return follow_runtime_log(self._followers, self._runtime_logs, app, since=after, tail=tail)

    async def _plan_has_logs(self, connection: Connection, tenant: UserId) -> bool:
        account = await accounts.get(connection, tenant)
        return account is not None and includes_runtime_logs(self._settings, account.plan)


def _entry(app: AppId, deployment: DeploymentId | None, at: datetime, content: str) -> LogEntry:
    return LogEntry(0, app, deployment, "runtime", at, content, len(content.encode()))
