"""Rows of `release`: written for a candidate before its container is created, immutable once they have a number."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackyn_server.domain.apps import DEFAULT_PROTOCOL, Protocol
from stackyn_server.domain.ids import AppId, DeploymentId, ReleaseId
from stackyn_server.store.database import Connection, fetch_one
from stackyn_server.store.queries import load

SQL = load("releases")


@dataclass(frozen=True, slots=True)
class NewRelease:
    """All that a container needs and that rollback restores. Units: MiB, cores.

    `port` is where the app is reached, `told_port` the value of PORT in its containers (None: the same).
    `health_timeout_seconds`: the time it has to become ready (None: the operator's setting).
    """

    app: AppId
    deployment: DeploymentId
    image: str
    sealed_environment: bytes
    memory_mb: int
    disk_mb: int
    cpu: float
    command: str | None
    port: int
    health_path: str | None
    commit: str | None
    told_port: int | None = None
    protocol: Protocol = DEFAULT_PROTOCOL
    health_timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(NewRelease):
    id: ReleaseId
    number: int | None
    created_at: datetime
    live_at: datetime | None
    image_removed_at: datetime | None

    @classmethod
    def from_row(cls, row: Any) -> Release:
        return cls(**dict(row))


async def insert(connection: Connection, new: NewRelease) -> Release:
    row = await connection.fetchrow(
        SQL.insert,
        new.app,
        new.deployment,
        new.image,
        new.sealed_environment,
        new.memory_mb,
        new.disk_mb,
        new.cpu,
        new.command,
        new.port,
        new.told_port,
        new.protocol,
        new.health_path,
        new.health_timeout_seconds,
        new.commit,
    )
    return Release.from_row(row)


async def get(connection: Connection, release: ReleaseId) -> Release | None:
    return await fetch_one(connection, Release.from_row, SQL.get, release)


async def set_port(connection: Connection, release: ReleaseId, port: int) -> None:
    """Record where a candidate really listens; PORT in its containers stays as it is."""
    await connection.execute(SQL.set_port, release, port)


async def of_number(connection: Connection, app: AppId, number: int) -> Release | None:
    return await fetch_one(connection, Release.from_row, SQL.of_number, app, number)


async def number(connection: Connection, release: ReleaseId, app: AppId) -> Release | None:
    """Give a candidate that went live its number. None when it has one already."""
    return await fetch_one(connection, Release.from_row, SQL.number, release, app)


async def numbered_of_app(connection: Connection, app: AppId) -> list[Release]:
    """Return the releases that were live, newest first."""
    return [Release.from_row(row) for row in await connection.fetch(SQL.numbered_of_app, app)]


async def images_to_remove(
    connection: Connection, keep: int, app: AppId | None = None
) -> list[tuple[AppId, str]]:
    """Return images of `app` (None: of all) beyond the newest `keep` that rollback needs, none of them in use."""
    return [(row["app"], row["image"]) for row in await connection.fetch(SQL.images_to_remove, keep, app)]


async def images_offered(connection: Connection) -> list[tuple[AppId, str]]:
    """Return the images that apps can be rolled back to."""
    return [(row["app"], row["image"]) for row in await connection.fetch(SQL.images_offered)]


async def images_needed(connection: Connection) -> set[str]:
    """Return the images that a release, an instance or an unfinished deployment needs."""
    return {row["image"] for row in await connection.fetch(SQL.images_needed)}


async def image_removed(connection: Connection, app: AppId, image: str) -> None:
    await connection.execute(SQL.image_removed, app, image)


async def image_in_use(connection: Connection, image: str, *, apart_from: DeploymentId) -> bool:
    """True when a release that can be rolled back to, or another deployment, needs the image."""
    return bool(await connection.fetchval(SQL.image_in_use, image, apart_from))


async def of_deployment(connection: Connection, deployment: DeploymentId) -> Release | None:
    """Return the release, candidate or numbered, that the deployment made."""
    return await fetch_one(connection, Release.from_row, SQL.of_deployment, deployment)
