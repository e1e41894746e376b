"""Rows of `deployment`. `advance` is the only way to change a phase."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackyn_server.domain.deployments import Cause, Phase, may_follow
from stackyn_server.domain.failures import Failure
from stackyn_server.domain.ids import AppId, DeploymentId, ReleaseId, UserId
from stackyn_server.domain.notices import DeploymentMoved
from stackyn_server.errors import Conflict, StackynError
from stackyn_server.store import installation
from stackyn_server.store.database import Connection, Record, fetch_one
from stackyn_server.store.queries import load

SQL = load("deployments")


class Moved(Conflict):
    """Another writer moved the deployment first: end the job row, release what is held, stop."""


@dataclass(frozen=True, slots=True)
class Deployment:
    id: DeploymentId
    app: AppId
    tenant: UserId
    cause: Cause
    phase: Phase
    version: int
    moved_by: str | None
    branch: str
    commit: str | None
    plan: dict[str, Any] | None
    image: str | None
    source_release: ReleaseId | None
    release: ReleaseId | None
    failure: dict[str, Any] | None
    waiting_reason: str | None
    phase_since: datetime
    created_at: datetime
    updated_at: datetime
    live_at: datetime | None
    ended_at: datetime | None
    build_key: str | None
    command_container: str | None
    command_done_at: datetime | None
    image_bytes: int | None

    @classmethod
    def from_row(cls, row: Any) -> Deployment:
        values = dict(row)
        values["cause"], values["phase"] = Cause(values["cause"]), Phase(values["phase"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Mover:
    """The writer: the epoch that fences the write, and `<job>:<attempt>` or the name of the request."""

    epoch: int
    by: str


@dataclass(frozen=True, slots=True)
class StepResults:
    """What a step found out, for the deployment's row. None leaves a column as it is (`waiting_reason`: clears it)."""

    commit: str | None = None
    branch: str | None = None
    plan: dict[str, Any] | None = None
    image: str | None = None
    image_bytes: int | None = None
    build_key: str | None = None
    release: ReleaseId | None = None
    failure: Failure | None = None
    waiting_reason: str | None = None


NO_RESULTS = StepResults()


async def insert(
    connection: Connection,
    *,
    app: AppId,
    tenant: UserId,
    cause: Cause,
    branch: str,
    phase: Phase = Phase.QUEUED,
    commit: str | None = None,
    plan: dict[str, Any] | None = None,
    image: str | None = None,
    source_release: ReleaseId | None = None,
) -> Deployment:
    row = await connection.fetchrow(
        SQL.insert, app, tenant, cause.value, phase.value, branch, commit, plan, image, source_release
    )
    return _announced(connection, Deployment.from_row(row))


async def get(connection: Connection, deployment: DeploymentId) -> Deployment | None:
    return await fetch_one(connection, Deployment.from_row, SQL.get, deployment)


async def get_of_tenant(
    connection: Connection, deployment: DeploymentId, tenant: UserId | None
) -> Deployment | None:
    """Return the deployment of a living app that `tenant` owns (None: whoever owns it)."""
    return await fetch_one(connection, Deployment.from_row, SQL.get_of_tenant, deployment, tenant)


async def list_of_app(connection: Connection, app: AppId, limit: int = 200) -> list[Deployment]:
    return [Deployment.from_row(row) for row in await connection.fetch(SQL.list_of_app, app, limit)]


async def jobless_of_app(connection: Connection, app: AppId) -> list[Deployment]:
    """Return the app's open deployments that have neither a waiting nor a running job."""
    return [Deployment.from_row(row) for row in await connection.fetch(SQL.jobless_of_app, app)]


async def has_open(connection: Connection, app: AppId) -> bool:
    """Return whether a deployment of the app has yet to end."""
    return bool(await connection.fetchval(SQL.has_open, app))


async def live_of_app(connection: Connection, app: AppId) -> Deployment | None:
    return await fetch_one(connection, Deployment.from_row, SQL.live_of_app, app)


async def advance(
    connection: Connection, deployment: Deployment, to: Phase, mover: Mover, results: StepResults = NO_RESULTS
) -> Deployment:
    """Move `deployment` from the phase and version it was read in to `to`, with the step's results and an event.

    Raises `Moved` when it is no longer as it was read, `LeadershipLost` when another server has taken over.
    """
    if not may_follow(deployment.phase, to):
        raise StackynError(f"A deployment does not go from {deployment.phase} to {to}.")
    row = await connection.fetchrow(
        SQL.advance,
        deployment.id,
        deployment.phase.value,
        deployment.version,
        to.value,
        mover.by,
        mover.epoch,
        results.commit,
        results.plan,
        results.image,
        results.release,
        results.failure.as_json(deployment.phase.value) if results.failure else None,
        results.waiting_reason,
        results.build_key,
        results.branch,
        results.image_bytes,
    )
    return _announced(connection, await _moved(connection, deployment, mover, row))


def _announced(connection: Connection, deployment: Deployment) -> Deployment:
    message = deployment.failure["message"] if deployment.failure else None
    connection.announce(
        DeploymentMoved(deployment.app, deployment.id, deployment.version, deployment.phase, message)
    )
    return deployment


async def set_command(
    connection: Connection,
    deployment: Deployment,
    mover: Mover,
    *,
    container: str | None = None,
    is_done: bool = False,
) -> Deployment:
    """Record the container of the release command before it is started, or that the command has succeeded.

    Safe to repeat. Raises `Moved` when the deployment is no longer as it was read, `LeadershipLost`.
    """
    row = await connection.fetchrow(
        SQL.set_command, deployment.id, deployment.version, mover.epoch, container, is_done
    )
    return await _moved(connection, deployment, mover, row)


async def _moved(connection: Connection, before: Deployment, mover: Mover, row: Record | None) -> Deployment:
    if row is not None:
        return Deployment.from_row(row)
    await installation.check_epoch(connection, mover.epoch)
    raise Moved(f"Deployment {before.id} has moved on from {before.phase}.")


async def built_before(connection: Connection, app: AppId, build_key: str) -> list[str]:
    """Return the images of the app that were built with this key, newest first."""
    return [str(row["image"]) for row in await connection.fetch(SQL.built_before, app, build_key)]


def was_recorded(current: Deployment, before: Deployment, to: Phase, mover: Mover) -> bool:
    """True when an `advance` whose COMMIT was left unanswered did happen."""
    return current.phase is to and current.version == before.version + 1 and current.moved_by == mover.by


async def set_waiting_reason(connection: Connection, deployment: DeploymentId, reason: str | None) -> None:
    """Record why the deployment waits (None: it does not wait)."""
    await connection.execute(SQL.set_waiting_reason, deployment, reason)


async def unfinished(connection: Connection) -> set[DeploymentId]:
    return {row["id"] for row in await connection.fetch(SQL.unfinished)}


async def needing_clone(connection: Connection, ids: list[int]) -> set[int]:
    """Return those of `ids` whose build may still read the fetched commit."""
    return {row["id"] for row in await connection.fetch(SQL.needing_clone, ids)}
