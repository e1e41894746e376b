"""Rows of `route`: which instance serves an app's host names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stackyn_server.domain.apps import DEFAULT_PROTOCOL, Protocol
from stackyn_server.domain.ids import AppId, InstanceId, UserId
from stackyn_server.domain.notices import RouteChanged
from stackyn_server.store.database import Connection
from stackyn_server.store.queries import load

SQL = load("routes")


class RouteState(StrEnum):
    SWITCHING = "switching"
    SERVING = "serving"
    HELD = "held"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One app's published route: `<slug>.<base domain>` and `hosts` go to `slot` of `seat` on `port` by `protocol`."""

    app: AppId
    slug: str
    hosts: tuple[str, ...]
    state: RouteState
    instance: InstanceId
    seat: int
    slot: int
    port: int
    protocol: Protocol = DEFAULT_PROTOCOL

    @classmethod
    def from_row(cls, row: Any) -> RouteRow:
        values = dict(row)
        values["state"], values["hosts"] = RouteState(values["state"]), tuple(values["hosts"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Route:
    app: AppId
    instance: InstanceId | None
    previous: InstanceId | None
    state: RouteState


@dataclass(frozen=True, slots=True)
class HoldSituation:
    """`is_wanted`: the app is to run. `is_candidate`: the route leads to a deployment that is under way."""

    tenant: UserId
    is_wanted: bool
    route: RouteState
    is_candidate: bool


async def snapshot(connection: Connection) -> list[RouteRow]:
    """Return every route that isn't withdrawn: what the ingress has to serve."""
    return [RouteRow.from_row(row) for row in await connection.fetch(SQL.snapshot)]


async def get(connection: Connection, app: AppId) -> Route | None:
    row = await connection.fetchrow(SQL.get, app)
    return Route(row["app"], row["instance"], row["previous"], RouteState(row["state"])) if row else None


async def want(connection: Connection, app: AppId, instance: InstanceId) -> None:
    """Point the app at `instance`, remembering the one that served, until the proxy has confirmed it."""
    await connection.execute(SQL.want, app, instance)


async def serve(connection: Connection, app: AppId, instance: InstanceId) -> None:
    await connection.execute(SQL.serve, app, instance)
    connection.announce(RouteChanged(app))


async def revert(connection: Connection, app: AppId, instance: InstanceId) -> None:
    """Undo a `want` that was not confirmed: back to the previous instance, or withdrawn when there was none."""
    await connection.execute(SQL.revert, app, instance)
    connection.announce(RouteChanged(app))


async def hold(connection: Connection, app: AppId, instance: InstanceId) -> None:
    """Hold the app's requests for the next instance in the slot of `instance`."""
    await connection.execute(SQL.hold, app, instance)


async def restore_previous(connection: Connection, app: AppId) -> None:
    """Undo a `hold` for another instance, before the one that served has ended."""
    await connection.execute(SQL.restore_previous, app)
    connection.announce(RouteChanged(app))


async def forget_previous(connection: Connection, app: AppId) -> None:
    """Forget the previous instance, which has ended."""
    await connection.execute(SQL.forget_previous, app)


async def hold_situation(connection: Connection, app: AppId) -> HoldSituation | None:
    """Return what decides over a held request; None for an app that doesn't exist."""
    row = await connection.fetchrow(SQL.hold_situation, app)
    if row is None:
        return None
    state = RouteState(row["state"]) if row["state"] else RouteState.WITHDRAWN
    return HoldSituation(row["tenant"], row["is_wanted"], state, row["is_candidate"])


async def withdraw(connection: Connection, app: AppId) -> None:
    await connection.execute(SQL.withdraw, app)


async def custom_hosts(connection: Connection, app: AppId) -> list[str]:
    """Return the app's confirmed domains of its own."""
    return [row["host"] for row in await connection.fetch(SQL.custom_hosts, app)]
