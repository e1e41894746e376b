"""Rows of `app`, and the view that derives an app's status from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackyn_server.domain.apps import AppSettings, Desired
from stackyn_server.domain.billing_plans import Reservation
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId, DeploymentId, JobId, ReleaseId, UserId
from stackyn_server.store.database import Connection, delete_rows, fetch_one
from stackyn_server.store.queries import load
from stackyn_server.store.routes import RouteState

SQL = load("apps")


@dataclass(frozen=True, slots=True)
class App:
    """`route_gone_at`: the proxy confirmed that a deleted app's route is gone; its host names may be another app's."""

    id: AppId
    tenant: UserId
    name: str
    slug: str
    repository: str
    branch: str
    settings: AppSettings
    memory_mb: int
    disk_mb: int
    desired: Desired
    stop_reason: str | None
    current_release: ReleaseId | None
    seat: int | None
    created_at: datetime
    updated_at: datetime
    torn_down_at: datetime | None
    route_gone_at: datetime | None

    @classmethod
    def from_row(cls, row: Any) -> App:
        values = {name: row[name] for name in cls.__slots__}
        values["settings"], values["desired"] = AppSettings(**row["settings"]), Desired(row["desired"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class AppState:
    """An app with what its status is derived from. `active_*` is the deployment that clients are shown."""

    app: App
    tenant_email: str
    active_id: DeploymentId | None
    active_phase: Phase | None
    newest_phase: Phase | None
    waiting_reason: str | None
    last_deployed_at: datetime | None
    route: RouteState | None
    has_container: bool
    is_down: bool
    is_unhealthy: bool
    restart_count: int | None
    memory_bytes: int | None
    disk_bytes: int | None
    deployment_count: int

    @classmethod
    def from_row(cls, row: Any) -> AppState:
        values = {name: row[name] for name in cls.__slots__ if name != "app"}
        for name, kind in (("active_phase", Phase), ("newest_phase", Phase), ("route", RouteState)):
            values[name] = kind(row[name]) if row[name] else None
        return cls(App.from_row(row), **values)


async def lock_tenant(connection: Connection, tenant: UserId) -> bool:
    """Lock the tenant, so that its quota is checked by one transaction at a time. False when the account is gone."""
    return await connection.fetchval(SQL.lock_tenant, tenant) is not None


async def reserved(connection: Connection, tenant: UserId, *, apart_from: AppId | None = None) -> Reservation:
    """Return what the tenant's living apps reserve together."""
    row = await connection.fetchrow(SQL.reserved, tenant, apart_from)
    return Reservation(row["apps"], row["memory_mb"], row["disk_mb"], row["cpu"])


async def free_seat(connection: Connection) -> int:
    """Return the lowest free seat; no other transaction can take it before this one ends."""
    await connection.execute(SQL.lock_seats)
    return int(await connection.fetchval(SQL.free_seat))


async def slug_is_free(connection: Connection, slug: str, host: str, tenant: UserId) -> bool:
    """Return whether a new app of `tenant` can have the slug. A deleted app of the same tenant gives it."""
    return bool(await connection.fetchval(SQL.slug_is_free, slug, host, tenant))


async def give_slug(connection: Connection, slug: str, tenant: UserId) -> None:
    """Take the slug from a deleted app of `tenant` that is still being taken down, and withdraw its route."""
    await connection.execute(SQL.give_slug, slug, tenant)


async def lock_givers(connection: Connection, slug: str) -> list[AppId]:
    """Return the deleted apps that gave this slug and whose route the proxy may still have, locked."""
    return [row["id"] for row in await connection.fetch(SQL.lock_givers, slug)]


async def set_route_gone(connection: Connection, app: AppId) -> None:
    """Record that the proxy has confirmed that a deleted app's route is gone."""
    await connection.execute(SQL.set_route_gone, app)


async def insert(
    connection: Connection,
    *,
    tenant: UserId,
    name: str,
    slug: str,
    repository: str,
    branch: str,
    settings: AppSettings,
    seat: int,
) -> App:
    """Raises `Duplicate` with constraint `app_name` or `app_slug`."""
    row = await connection.fetchrow(
        SQL.insert, tenant, name, slug, repository, branch, settings.as_json(), seat
    )
    return App.from_row(row)


async def get(connection: Connection, app: AppId) -> App | None:
    """Return an app whether it is deleted or not."""
    return await fetch_one(connection, App.from_row, SQL.get, app)


async def of_tenant(connection: Connection, app: AppId, tenant: UserId | None) -> App | None:
    """Return a living app that `tenant` owns (None: whoever owns it)."""
    return await fetch_one(connection, App.from_row, SQL.of_tenant, app, tenant)


async def lock(connection: Connection, app: AppId, tenant: UserId | None) -> App | None:
    """Like `of_tenant`, locked until the transaction ends: every change of what an app should be takes it first."""
    return await fetch_one(connection, App.from_row, SQL.lock, app, tenant)


async def set_desired(
    connection: Connection,
    app: AppId,
    desired: Desired,
    *,
    stop_reason: str | None = None,
    stopped_by_billing: bool = False,
) -> None:
    """`stopped_by_billing`: the app starts again when its account pays."""
    await connection.execute(SQL.set_desired, app, desired.value, stop_reason, stopped_by_billing)


async def change(connection: Connection, app: AppId, *, name: str, branch: str, settings: AppSettings) -> App:
    row = await connection.fetchrow(SQL.change, app, name, branch, settings.as_json())
    return App.from_row(row)


async def remember_branch(connection: Connection, app: AppId, branch: str) -> None:
    """Record the branch that HEAD of the repository means, for an app without a chosen branch."""
    await connection.execute(SQL.remember_branch, app, branch)


async def remember_move(connection: Connection, app: AppId, old: str, new: str) -> None:
    """Replace the repository's address, unless somebody has changed it meanwhile."""
    await connection.execute(SQL.remember_move, app, old, new)


async def set_current_release(connection: Connection, app: AppId, release: ReleaseId) -> None:
    await connection.execute(SQL.set_current_release, app, release)


async def empty(connection: Connection, app: AppId) -> None:
    """Leave only the tombstone of an app whose containers, images and route are gone: its slug is free now."""
    await connection.execute(SQL.empty, app)


async def forget(connection: Connection, quarantine_seconds: float, limit: int) -> int:
    """Delete at most `limit` tombstones whose seat is out of quarantine; return how many."""
    return await delete_rows(connection, SQL.forget, quarantine_seconds, limit)


async def view(
    connection: Connection,
    *,
    tenant: UserId | None = None,
    app: AppId | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[AppState]:
    """Return living apps with their state, newest first, in one query: at most 1,000."""
    rows = await connection.fetch(SQL.view, tenant, app, limit, offset)
    return [AppState.from_row(row) for row in rows]


async def count(connection: Connection, *, tenant: UserId | None = None) -> int:
    return int(await connection.fetchval(SQL.count, tenant))


async def tenant_plans(connection: Connection) -> dict[UserId, str]:
    """Return the billing plans of the accounts that have living apps."""
    return {row["tenant"]: row["plan"] for row in await connection.fetch(SQL.tenant_plans)}


async def ids_of_tenant(connection: Connection, tenant: UserId) -> list[AppId]:
    return [row["id"] for row in await connection.fetch(SQL.ids_of_tenant, tenant)]


async def stopped_by_billing(connection: Connection, tenant: UserId) -> list[AppId]:
    return [row["id"] for row in await connection.fetch(SQL.stopped_by_billing, tenant)]


async def has_other_work(connection: Connection, app: AppId, job: JobId) -> bool:
    """Return whether the app has an open job beside `job`."""
    return bool(await connection.fetchval(SQL.has_other_work, app, job))
