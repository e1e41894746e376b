"""What every change of an app's wishes shares: its row is locked first, and what no longer counts is ended,
the job before its deployment (the other order leaves a running job on a superseded deployment)."""

from __future__ import annotations

from typing import Protocol

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.deployments import Cause, Phase
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.domain.jobs import ORDINARY_PRIORITY, RAISED_PRIORITY, CleanupArguments, Kind
from stackyn_server.errors import NotFound
from stackyn_server.store import apps, deployments, instances, jobs, routes
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


async def lock_app(connection: Connection, app: AppId, tenant: UserId | None) -> App:
    """Raises `NotFound` for an app that doesn't exist, is deleted, or is somebody else's."""
    found = await apps.lock(connection, app, tenant)
    if found is None:
        raise NotFound("There is no such app.")
    return found


def build_priority(settings: Settings, plan: str) -> int:
    chosen = settings.plans.get(plan)
    return RAISED_PRIORITY if chosen and chosen.priority_builds else ORDINARY_PRIORITY


async def build_again(connection: Connection, app: App, priority: int, mover: Mover) -> Deployment:
    """Build the branch of a locked app. Waiting older builds end superseded, a running one finishes first."""
    await supersede(connection, app.id, Kind.BUILD, mover)
    deployment = await deployments.insert(
        connection, app=app.id, tenant=app.tenant, cause=Cause.REDEPLOY, branch=app.branch
    )
    await jobs.enqueue_for_deployment(connection, Kind.BUILD, deployment, priority=priority)
    return deployment


async def run_again(
    connection: Connection, app: App, release: Release, cause: Cause, mover: Mover
) -> Deployment:
    """Run a release of a locked app again: same image, no build."""
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
    return deployment


async def end_waiting(connection: Connection, subjects: list[str], to: Phase, mover: Mover) -> None:
    """Move the deployments whose waiting job was just taken away to `to`, and have what they left cleaned up.

    One that waits in the middle of its switch (its server died, or its database was away) is turned back first.
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
    await jobs.enqueue_for_deployment(
        connection, Kind.CLEANUP, deployment, CleanupArguments.after(deployment.phase)
    )


async def supersede(connection: Connection, app: AppId, kind: Kind, mover: Mover) -> None:
    """A newer wish makes the waiting ones of this kind pointless; a running one finishes first."""
    await end_waiting(
        connection, await jobs.supersede_waiting(connection, kind, app), Phase.SUPERSEDED, mover
    )
    await end_jobless(connection, app, Phase.SUPERSEDED, mover)


async def cancel_deployments(connection: Connection, app: AppId, mover: Mover) -> None:
    """End every open deployment of the app: waiting ones now, running ones as soon as their task has cleaned up.

    Neither falling asleep nor waking up matters any more.
    """
    for kind in (Kind.BUILD, Kind.RELEASE):
        subjects = await jobs.request_cancel(connection, app=app, kind=kind)
        await end_waiting(connection, subjects, Phase.CANCELLED, mover)
    await end_jobless(connection, app, Phase.CANCELLED, mover)
    for kind in (Kind.SLEEP, Kind.WAKE):
        await jobs.request_cancel(connection, app=app, kind=kind)
