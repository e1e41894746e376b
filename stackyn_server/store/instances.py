"""Rows of `instance`: one container of a release, in one slot of its app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from stackyn_server.domain.apps import Protocol
from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId, ReleaseId, UserId
from stackyn_server.store.database import Connection, Record, delete_rows, fetch_one
from stackyn_server.store.queries import load

SQL = load("instances")


class InstanceState(StrEnum):
    STARTING = "starting"
    UP = "up"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Instance:
    id: InstanceId
    app: AppId
    release: ReleaseId
    deployment: DeploymentId | None
    slot: int
    container: str | None
    state: InstanceState
    restart_count: int
    engine_restarts: int
    down_since: datetime | None
    unhealthy_since: datetime | None
    last_state: dict[str, Any] | None
    created_at: datetime
    up_at: datetime | None
    gone_at: datetime | None
    logged_until: int | None

    @classmethod
    def from_row(cls, row: Any) -> Instance:
        values = dict(row)
        values["state"] = InstanceState(values["state"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Output:
    """What the container of an instance writes. `deployment` is the one that made its release; up to the line at
    `logged_until` (nanoseconds) it is stored."""

    instance: InstanceId
    app: AppId
    deployment: DeploymentId
    container: str | None
    logged_until: int | None

    @classmethod
    def from_row(cls, row: Record) -> Output:
        return cls(**{name: row[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class ServingInstance:
    """An instance that serves an app: its container, the disk that its release may use, in MiB, and what it used when
    it was last recorded."""

    app: AppId
    tenant: UserId
    instance: InstanceId
    container: str
    disk_mb: int
    disk_bytes: int | None


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """The instance that the route of an app leads to, or for which its requests are held. `plan`: the billing plan."""

    app: AppId
    tenant: UserId
    plan: str
    instance: InstanceId
    port: int
    is_held: bool


@dataclass(frozen=True, slots=True)
class CheckedInstance:
    """An instance that gets health checks, and their address."""

    app: AppId
    tenant: UserId
    instance: InstanceId
    seat: int
    slot: int
    port: int
    health_path: str | None
    protocol: Protocol
    slug: str
    is_unhealthy: bool


async def insert(
    connection: Connection, app: AppId, release: ReleaseId, deployment: DeploymentId | None
) -> Instance | None:
    """Take a free slot of the app's seat. None when both are taken."""
    return await fetch_one(connection, Instance.from_row, SQL.insert, app, release, deployment)


async def insert_into(
    connection: Connection, app: AppId, release: ReleaseId, deployment: DeploymentId | None, slot: int
) -> Instance:
    """Take this slot of the app's seat. Raises `Duplicate` when it is taken."""
    return Instance.from_row(await connection.fetchrow(SQL.insert_into, app, release, deployment, slot))


async def move(connection: Connection, instance: InstanceId, slot: int) -> None:
    """Give an instance that has no container another slot. Raises `Duplicate` when it is taken."""
    await connection.execute(SQL.move, instance, slot)


async def get(connection: Connection, instance: InstanceId) -> Instance | None:
    return await fetch_one(connection, Instance.from_row, SQL.get, instance)


async def present_of_app(connection: Connection, app: AppId) -> list[Instance]:
    """Return the instances that hold a slot, oldest first."""
    return [Instance.from_row(row) for row in await connection.fetch(SQL.present_of_app, app)]


async def of_deployment(connection: Connection, deployment: DeploymentId) -> Instance | None:
    """Return the instance that the deployment still holds."""
    return await fetch_one(connection, Instance.from_row, SQL.of_deployment, deployment)


async def newest_of_deployment(connection: Connection, deployment: DeploymentId) -> Instance | None:
    """Return the newest instance of a deployment, gone or not; for the live one, also what wakes and repairs made."""
    return await fetch_one(connection, Instance.from_row, SQL.newest_of_deployment, deployment)


async def of_route(connection: Connection, app: AppId) -> Instance | None:
    """Return the instance that the app's route points at."""
    return await fetch_one(connection, Instance.from_row, SQL.of_route, app)


async def set_container(connection: Connection, instance: InstanceId, container: str) -> None:
    await connection.execute(SQL.set_container, instance, container)


async def set_up(connection: Connection, instance: InstanceId) -> None:
    await connection.execute(SQL.set_up, instance)


async def set_draining(connection: Connection, instance: InstanceId) -> None:
    """Mark it as draining, unless it is gone."""
    await connection.execute(SQL.set_draining, instance)


async def set_gone(connection: Connection, instance: InstanceId) -> None:
    """Free the slot."""
    await connection.execute(SQL.set_gone, instance)


async def keep_state(connection: Connection, instance: InstanceId, last_state: dict[str, Any] | None) -> None:
    """Keep how the container ended; None leaves what is kept already."""
    await connection.execute(SQL.keep_state, instance, last_state)


async def output_of(connection: Connection, instance: InstanceId) -> Output | None:
    """Return whose output the instance's container writes, locked until the transaction ends."""
    return await fetch_one(connection, Output.from_row, SQL.output_of, instance)


async def outputs_of_app(
    connection: Connection, app: AppId, deployment: DeploymentId | None = None
) -> list[Output]:
    """Return the outputs of the containers that are there and serve or have served; with `deployment`, of all of its
    own."""
    rows = await connection.fetch(SQL.outputs_of_app, app, deployment)
    return [Output.from_row(row) for row in rows]


async def set_logged(connection: Connection, instance: InstanceId, nanoseconds: int) -> None:
    """Record that the container's output is stored up to the line with this time."""
    await connection.execute(SQL.set_logged, instance, nanoseconds)


async def add_restarts(connection: Connection, instance: InstanceId, count: int) -> None:
    await connection.execute(SQL.add_restarts, instance, count)


async def count_to(connection: Connection, instance: InstanceId, seen: int, now: int) -> bool:
    """Record the restart count of the engine. False when the row does not have the count `seen` any more."""
    return await connection.fetchval(SQL.count_to, instance, seen, now) is not None


async def set_down(connection: Connection, down: Sequence[InstanceId]) -> None:
    """Record that the containers of these instances, which should run, do not."""
    await connection.execute(SQL.set_down, list(down))


async def set_back(connection: Connection, back: Sequence[InstanceId]) -> None:
    await connection.execute(SQL.set_back, list(back))


async def set_unhealthy(connection: Connection, instance: InstanceId) -> None:
    await connection.execute(SQL.set_unhealthy, instance)


async def set_healthy(connection: Connection, instance: InstanceId) -> bool:
    """False when it was not recorded as unhealthy."""
    return await connection.fetchval(SQL.set_healthy, instance) is not None


async def serving_now(connection: Connection) -> list[ServingInstance]:
    """Return the instances that serve according to the rows."""
    return [ServingInstance(**dict(row)) for row in await connection.fetch(SQL.serving_now)]


async def to_check(
    connection: Connection, plans: Sequence[str] | None, *, busy_too: bool = False
) -> list[CheckedInstance]:
    """Return the serving instances of accounts on `plans` (None: of all) that run according to the rows, without those
    whose app has an open job (`busy_too`: with them)."""
    names = None if plans is None else list(plans)
    return [CheckedInstance(**dict(row)) for row in await connection.fetch(SQL.to_check, names, busy_too)]


async def wanted_up(connection: Connection) -> list[tuple[AppId, InstanceId, bool, bool]]:
    """Return the serving instances of running apps, whether each is recorded as down, and whether its app has a job."""
    return [
        (row["app"], row["id"], row["is_down"], row["is_busy"])
        for row in await connection.fetch(SQL.wanted_up)
    ]


async def routed(connection: Connection) -> list[RouteTarget]:
    """Return where the routes of running apps lead, without apps that have an open job."""
    return [RouteTarget(**dict(row)) for row in await connection.fetch(SQL.routed)]


async def purge(connection: Connection, keep_days: int, limit: int) -> int:
    """Delete at most `limit` rows of instances without a deployment that are gone for `keep_days`; return how many."""
    return await delete_rows(connection, SQL.purge, keep_days, limit)


async def holding_slots(connection: Connection) -> set[InstanceId]:
    return {row["id"] for row in await connection.fetch(SQL.holding_slots)}
