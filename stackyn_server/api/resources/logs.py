"""Logs, whole and growing, and the events of an app."""

from __future__ import annotations

from aiohttp import web

from stackyn_server.api import streams
from stackyn_server.api.services import Services
from stackyn_server.api.wire.logs import (
    MOST_TAIL,
    DeploymentLogs,
    Event,
    EventPage,
    LogEntry,
    LogPage,
    RuntimeStreamQuery,
)
from stackyn_server.domain.deployments import Status
from stackyn_server.domain.ids import AppId, DeploymentId, parse_id
from stackyn_server.domain.logs import LogChunk, LogKind, LogLine, RuntimeChunk
from stackyn_server.services.sessions import Caller

_LAST_EVENT_ID = "Last-Event-ID"
_COMMENT = b": still here\n\n"


async def of_deployment(services: Services, caller: Caller, deployment: DeploymentId) -> DeploymentLogs:
    """Return build log and runtime log; the build log grows during the build."""
    return DeploymentLogs.from_view(await services.logs.of_deployment(caller.id, deployment))


async def build_entries(services: Services, caller: Caller, app: AppId, page: LogPage) -> list[LogEntry]:
    """Return stored pieces of the app's build logs, newest first."""
    return await _entries(services, caller, app, "build", page)


async def runtime_entries(services: Services, caller: Caller, app: AppId, page: LogPage) -> list[LogEntry]:
    """Return stored pieces of the app's runtime logs, newest first."""
    return await _entries(services, caller, app, "runtime", page)


async def events(services: Services, caller: Caller, app: AppId, page: EventPage) -> list[Event]:
    """Return what happened to the app, newest first."""
    views = await services.events.list(caller.id, app, before=page.before, limit=page.limit)
    return [Event.from_view(view) for view in views]


async def follow_build(
    services: Services, caller: Caller, deployment: DeploymentId, request: web.Request
) -> web.StreamResponse:
    """Follow the build log as server-sent events, from `Last-Event-ID` on; `end` carries the final status."""
    given = parse_id(request.headers.get(_LAST_EVENT_ID, "") or "0") or 0
    resumed = await services.logs.resume_build(caller.id, deployment, given)
    with services.streams.open(caller, resumed.app, has_left=lambda: streams.has_left(request)) as stream:
        return await streams.pump(
            request,
            await streams.begin(request, streams.EVENT_STREAM),
            stream,
            services.logs.follow_build(caller.id, deployment, resumed.after),
            _build_event,
            services.streams.limits,
            keep_alive=_COMMENT,
        )


async def follow_runtime(
    services: Services, caller: Caller, app: AppId, query: RuntimeStreamQuery, request: web.Request
) -> web.StreamResponse:
    """Follow what the app writes, over deploys too: events for those who accept them, else text."""
    resumed = parse_id(request.headers.get(_LAST_EVENT_ID, ""))
    source = await services.logs.follow_runtime(
        caller.id, app, since=resumed or query.since, tail=MOST_TAIL if resumed else query.tail
    )
    as_events = streams.wants_events(request)
    with services.streams.open(
        caller, app, has_left=lambda: streams.has_left(request), shows_runtime_logs=True
    ) as stream:
        return await streams.pump(
            request,
            await streams.begin(request, streams.EVENT_STREAM if as_events else "text/plain"),
            stream,
            source,
            _line_events if as_events else _line_texts,
            services.streams.limits,
            keep_alive=_COMMENT if as_events else b"",
            farewell=streams.closing_event if as_events else _no_farewell,
        )


async def _entries(
    services: Services, caller: Caller, app: AppId, kind: LogKind, page: LogPage
) -> list[LogEntry]:
    entries = await services.logs.of_app(caller.id, app, kind, limit=page.limit, offset=page.offset)
    return [LogEntry.from_view(entry) for entry in entries]


def _line_events(lines: list[LogLine]) -> bytes:
    return b"".join(streams.event(line.text, name=line.stream, identifier=line.nanoseconds) for line in lines)


def _line_texts(lines: list[LogLine]) -> bytes:
    return RuntimeChunk.of(lines).content.encode()


def _build_event(item: LogChunk | Status) -> bytes:
    if isinstance(item, Status):
        return streams.event(item.value, name="end")
    return streams.event(item.text.removesuffix("\n"), identifier=item.id)


def _no_farewell(_: str) -> bytes:
    return b""
