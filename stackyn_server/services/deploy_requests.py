"""What owners, administrators and billing ask of an app: build, run a release, stop, delete.

Each function wants the app's row locked by its transaction (`app_access.lock_app`). Work that no longer counts is
ended first, the job before its deployment: the other order left a job running for a deployment that was superseded.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Cause, Phase
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.domain.jobs import ORDINARY_PRIORITY, RAISED_PRIORITY, Kind
from stackyn_server.store import apps, deployments, events, instances, jobs, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Deployment, Mover
from stackyn_server.store.releases import Release

log = structlog.get_logger()


class Leader(Protocol):
    """Says under which epoch this process writes."""

    @property
    def epoch(self) -> int: ...


class Owner(Protocol):
    @property
    def id(self) -> UserId: ...
    @property
    def plan(self) -> str: ...


def build_priority(settings: Settings, plan_name: str) -> int:
    plan = settings.plans.get(plan_name)
    return RAISED_PRIORITY if plan and plan.priority_builds else ORDINARY_PRIORITY


async def request_build(connection: Connection, app: App, priority: int, mover: Mover) -> Deployment:
    """Build the app's branch and run it. Builds that wait are superseded; one that runs finishes first."""
    await supersede(connection, app.id, Kind.BUILD, mover)
    deployment = await deployments.insert(
        connection, app=app.id, tenant=app.tenant, cause=Cause.REDEPLOY, branch=app.branch
    )
    await jobs.enqueue_for_deployment(connection, Kind.BUILD, deployment, priority=priority)
    await apps.set_desired(connection, app.id, Desired.RUNNING)
    return deployment


async def request_release(
    connection: Connection,
    app: App,
    release: Release,
    cause: Cause,
    mover: Mover,
    *,
    stop_grace_seconds: float,
) -> Deployment:
    """Run a release of the app again: same image, no build.

    It needs a slot at once, so an old instance that drains gets `stop_grace_seconds` at most.
    """
    await supersede(connection, app.id, Kind.RELEASE, mover)
    origin = await deployments.get(connection, release.deployment)
    deployment = await deployments.insert(
        connection,
        app=app.id,
        tenant=app.tenant,
        cause=cause,
        branch=origin.branch if origin else app.branch,
        phase=Phase.BUILT,
        commit=release.commit,
        plan=origin.plan if origin else None,
        image=release.image,
        source_release=release.id,
    )
    await jobs.enqueue_for_deployment(connection, Kind.RELEASE, deployment)
    await jobs.shorten_retire_deadlines(connection, app.id, stop_grace_seconds)
    await apps.set_desired(connection, app.id, Desired.RUNNING)
    return deployment


async def stop_app(
    connection: Connection, app: App, mover: Mover, *, reason: str | None = None, by_billing: bool = False
) -> None:
    """Stop the app durably; its release is kept. `by_billing`: it starts again when its account pays."""
    await cancel_deployments(connection, app.id, mover)
    await apps.set_desired(
        connection, app.id, Desired.STOPPED, stop_reason=reason, stopped_by_billing=by_billing
    )
    if app.desired is not Desired.STOPPED:
        await jobs.enqueue_for_app(connection, Kind.STOP, app.id, app.tenant)
        data = {"reason": reason} if reason else {}
        await events.append(connection, "app.stopped", tenant=app.tenant, app=app.id, data=data)


async def delete_app(connection: Connection, app: App, mover: Mover) -> None:
    """Delete the app: hide it at once, and have its route, containers, images, logs and files removed."""
    await apps.set_desired(connection, app.id, Desired.DELETED)
    await cancel_deployments(connection, app.id, mover)
    await jobs.enqueue_for_app(connection, Kind.REMOVE, app.id, app.tenant)
    await events.append(connection, "app.deleted", tenant=app.tenant, app=app.id)


async def cancel_deployments(connection: Connection, app: AppId, mover: Mover) -> None:
    """End every open deployment of the app: waiting ones now, running ones as soon as their task has cleaned up.

    Jobs that put the app to sleep or wake it are cancelled too.
    """
    for kind in (Kind.BUILD, Kind.RELEASE):
        subjects = await jobs.request_cancel(connection, app=app, kind=kind)
        await end_waiting(connection, subjects, Phase.CANCELLED, mover)
    await end_jobless(connection, app, Phase.CANCELLED, mover)
    for kind in (Kind.SLEEP, Kind.WAKE):
        await jobs.request_cancel(connection, app=app, kind=kind)


async def supersede(connection: Connection, app: AppId, kind: Kind, mover: Mover) -> None:
    """End the deployments that wait for a job of this kind; a running one finishes first."""
    subjects = await jobs.supersede_waiting(connection, kind, app)
    await end_waiting(connection, subjects, Phase.SUPERSEDED, mover)
    await end_jobless(connection, app, Phase.SUPERSEDED, mover)


async def end_waiting(connection: Connection, subjects: list[str], to: Phase, mover: Mover) -> None:
    """Move the deployments in `subjects`, whose waiting jobs were just ended, to `to`, and enqueue their cleanup.

    The route of one that waits in the middle of its switch (its server died, or its database was away) goes back first.
    """
    for subject in subjects:
        deployment = await deployments.get(connection, DeploymentId(int(subject)))
        if deployment is not None:
            await _end(connection, deployment, to, mover)


async def end_jobless(
    connection: Connection, app: AppId, to: Phase, mover: Mover, *, only: DeploymentId | None = None
) -> None:
    """Move the app's open deployments (or `only` that one) to `to` whose job was lost: no task would end them."""
    for deployment in await deployments.jobless_of_app(connection, app):
        if only is None or deployment.id == only:
            log.error("deployment.had_no_job", deployment=deployment.id, phase=deployment.phase.value)
            await _end(connection, deployment, to, mover)


async def _end(connection: Connection, deployment: Deployment, to: Phase, mover: Mover) -> None:
    if deployment.phase is Phase.SWITCHING:
        instance = await instances.of_deployment(connection, deployment.id)
        if instance is not None:
            await routes.revert(connection, deployment.app, instance.id)
    await deployments.advance(connection, deployment, to, mover)
    await jobs.enqueue_for_deployment(connection, Kind.CLEANUP, deployment)
