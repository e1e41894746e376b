"""Put work in, one function for each thing that work is about: each has its lock and its priority from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.domain.jobs import (
    ORDINARY_PRIORITY,
    RAISED_PRIORITY,
    SHORTENS_AN_OUTAGE,
    Kind,
    app_lock,
    build_lock,
    cleanup_arguments,
)
from stackyn_server.store import jobs
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Deployment


async def for_app(
    connection: Connection,
    kind: Kind,
    app: AppId,
    tenant: UserId | None,
    arguments: Mapping[str, Any] | None = None,
) -> None:
    """Work under the app's lock: `stop`, `remove`, `repair`, `sleep` or `wake`."""
    await jobs.enqueue(
        connection,
        kind,
        app,
        app=app,
        tenant=tenant,
        lock=app_lock(app),
        arguments=arguments,
        priority=RAISED_PRIORITY if kind in SHORTENS_AN_OUTAGE else ORDINARY_PRIORITY,
    )


async def build(connection: Connection, deployment: Deployment, priority: int) -> None:
    await jobs.enqueue(
        connection,
        Kind.BUILD,
        deployment.id,
        app=deployment.app,
        tenant=deployment.tenant,
        lock=build_lock(deployment.app),
        priority=priority,
    )


async def release(connection: Connection, deployment: Deployment) -> None:
    await jobs.enqueue(
        connection,
        Kind.RELEASE,
        deployment.id,
        app=deployment.app,
        tenant=deployment.tenant,
        lock=app_lock(deployment.app),
    )


async def cleanup(connection: Connection, deployment: Deployment, ended_in: Phase) -> None:
    """Take away what a deployment holds that ended in this phase without going live."""
    await jobs.enqueue(
        connection,
        Kind.CLEANUP,
        deployment.id,
        app=deployment.app,
        tenant=deployment.tenant,
        arguments=cleanup_arguments(ended_in),
    )
