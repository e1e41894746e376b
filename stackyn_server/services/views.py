"""What services return: views of the rows as frozen dataclasses. The API turns them into the contract's JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackyn_server.config import Settings
from stackyn_server.domain.apps import AppSettings
from stackyn_server.domain.deployments import Cause, Phase, Status, status_of
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.domain.jobs import Kind
from stackyn_server.domain.status import active_status, app_phase, app_status
from stackyn_server.store.apps import AppState
from stackyn_server.store.deployments import Deployment
from stackyn_server.store.jobs import WaitingJob, WaitReason
from stackyn_server.store.routes import RouteState

MEBIBYTE = 1024**2
GIBIBYTE = 1024**3
_DISK_STEPS = 10**6  # of a figure of 1: six decimals, 1 KiB of a GiB


@dataclass(frozen=True, slots=True)
class Usage:
    """The newest measurement. Units as the contract names them: MB and GB are powers of 1,024."""

    memory_mb: int
    memory_percent: float
    disk_gb: float
    disk_percent: float
    restart_count: int


@dataclass(frozen=True, slots=True)
class AppStateView:
    id: AppId
    tenant: UserId
    tenant_email: str
    name: str
    slug: str
    status: Status
    phase: str
    url: str
    repository: str
    branch: str
    settings: AppSettings
    stop_reason: str | None
    waiting_reason: str | None
    active_deployment: DeploymentId | None
    state: Status | None
    newest_status: Status | None
    deployment_count: int
    last_deployed_at: datetime | None
    usage: Usage | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WaitView:
    """Why a deployment doesn't move right now. `position` counts from 1; `next_attempt_at` is set between retries."""

    reason: str
    position: int | None
    attempt: int
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeploymentView:
    id: DeploymentId
    app: AppId
    status: Status
    phase: Phase
    cause: Cause
    branch: str
    commit: str | None
    image: str | None
    container: str | None
    subdomain: str | None
    error_message: str | None
    failure: dict[str, Any] | None
    wait: WaitView | None
    created_at: datetime
    updated_at: datetime
    live_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreatedView:
    """The app and its newest deployment, both durable."""

    app: AppStateView
    deployment: DeploymentView


def app_view(settings: Settings, state: AppState) -> AppStateView:
    app = state.app
    return AppStateView(
        id=app.id,
        tenant=app.tenant,
        tenant_email=state.tenant_email,
        name=app.name,
        slug=app.slug,
        status=app_status(app.desired, state.active_phase, is_down=state.is_down),
        phase=app_phase(
            app.desired,
            state.active_phase,
            is_held=state.route is RouteState.HELD,
            is_down=state.is_down,
            is_unhealthy=state.is_unhealthy,
        ),
        url=settings.public_url(app.slug) if app.current_release is not None else "",
        repository=app.repository,
        branch=app.branch,
        settings=app.settings,
        stop_reason=app.stop_reason,
        waiting_reason=state.waiting_reason,
        active_deployment=state.active_id,
        state=active_status(state.active_phase, is_down=state.is_down) if state.active_phase else None,
        newest_status=status_of(state.newest_phase) if state.newest_phase else None,
        deployment_count=state.deployment_count,
        last_deployed_at=state.last_deployed_at,
        usage=_usage(state),
        created_at=app.created_at,
        updated_at=app.updated_at,
    )


def _usage(state: AppState) -> Usage | None:
    if not state.has_container or state.memory_bytes is None or state.disk_bytes is None:
        return None
    memory_mb, disk_mb = state.memory_bytes / MEBIBYTE, state.disk_bytes / MEBIBYTE
    return Usage(
        memory_mb=round(memory_mb),
        memory_percent=round(100 * memory_mb / state.app.memory_mb, 1),
        disk_gb=_rounded_up(state.disk_bytes / GIBIBYTE),
        disk_percent=_rounded_up(100 * disk_mb / state.app.disk_mb),
        restart_count=state.restart_count or 0,
    )


def _rounded_up(figure: float) -> float:
    """Return a figure that is 0 only when it is nothing: an app may use a few KiB of a limit of GiB."""
    return math.ceil(figure * _DISK_STEPS) / _DISK_STEPS


_REASONS = {
    WaitReason.TIME: "It is tried again soon.",
    WaitReason.LOCK: "Another job of this app has to finish first.",
    WaitReason.SLOT: "The previous release is still finishing its requests.",
    WaitReason.PLACE: "It waits for a free place.",
}


def wait_of(deployment: Deployment, waiting: Iterable[WaitingJob]) -> WaitView | None:
    """Return why `deployment` waits; `waiting` are the waiting jobs of its app."""
    for job in waiting:
        if job.kind in (Kind.BUILD, Kind.RELEASE) and job.subject == str(deployment.id):
            reason = (job.error if job.reason is WaitReason.TIME else None) or _REASONS[job.reason]
            return WaitView(reason, job.position, job.attempt, job.run_at)
    return None


def deployment_view(
    deployment: Deployment,
    *,
    slug: str,
    container: str | None = None,
    waiting: Iterable[WaitingJob] = (),
) -> DeploymentView:
    failure = deployment.failure
    return DeploymentView(
        id=deployment.id,
        app=deployment.app,
        status=status_of(deployment.phase),
        phase=deployment.phase,
        cause=deployment.cause,
        branch=deployment.branch,
        commit=deployment.commit,
        image=deployment.image,
        container=container,
        subdomain=slug if deployment.live_at else None,
        error_message=error_message(deployment),
        failure=failure,
        wait=wait_of(deployment, waiting),
        created_at=deployment.created_at,
        updated_at=deployment.updated_at,
        live_at=deployment.live_at,
        ended_at=deployment.ended_at,
    )


def error_message(deployment: Deployment) -> str | None:
    """Return why the deployment failed, or why somebody else than its owner stopped it."""
    if failure := deployment.failure:
        return " ".join(part for part in (failure["message"], failure["hint"]) if part)
    return deployment.waiting_reason if deployment.phase is Phase.STOPPED else None


def queue_line(wait: WaitView | None) -> str:
    """Return the line that ends the build log of a deployment that has to let others go first; "" for no other."""
    if wait is None or wait.position is None:
        return ""
    place = f" Its place in the queue: {wait.position}." if wait.reason == _REASONS[WaitReason.PLACE] else ""
    return f"{wait.reason}{place}\n"
