"""The state that a rollout's decisions use: app, route, the instances that serve and served, and their releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stackyn_server.domain.ids import DeploymentId, InstanceId
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.instances import InstanceState
from stackyn_server.store.queries import load
from stackyn_server.store.routes import RouteState

SQL = load("situations")


@dataclass(frozen=True, slots=True)
class RoutedInstance:
    """An instance of a route, with the port and the memory limit (MiB) of its release."""

    id: InstanceId
    slot: int
    state: InstanceState
    deployment: DeploymentId | None
    port: int
    memory_mb: int

    @classmethod
    def from_row(cls, row: Any, prefix: str) -> RoutedInstance | None:
        if row[f"{prefix}_id"] is None:
            return None
        values = {name: row[f"{prefix}_{name}"] for name in cls.__slots__}
        return cls(**{**values, "state": InstanceState(values["state"])})


@dataclass(frozen=True, slots=True)
class Situation:
    """`routed` is the instance that the route leads to; `previous` is the one that served before it.

    `current_port` and `current_told_port` are those of the app's current release, `release_memory_mb` is of the
    deployment's own (None: it has none yet). `is_superseded`: a deployment that was requested later is or was live.
    """

    app: App
    account_plan: str
    custom_hosts: tuple[str, ...]
    route: RouteState
    routed: RoutedInstance | None
    previous: RoutedInstance | None
    current_port: int | None
    current_told_port: int | None
    release_memory_mb: int | None
    is_superseded: bool

    @classmethod
    def from_row(cls, row: Any) -> Situation:
        values = {name: row[name] for name in cls.__slots__ if name not in ("app", "routed", "previous")}
        values["custom_hosts"], values["route"] = tuple(row["custom_hosts"]), RouteState(row["route"])
        for name in ("routed", "previous"):
            values[name] = RoutedInstance.from_row(row, name)
        return cls(App.from_row(row), **values)

    @property
    def route_instance(self) -> RoutedInstance | None:
        """The instance that the route leads to, unless it is gone."""
        return self.routed if self.routed and self.routed.state is not InstanceState.GONE else None

    def leads_to(self, instance: InstanceId, *states: RouteState) -> bool:
        """Return whether the route leads to the instance, and is in one of these states."""
        return self.routed is not None and self.routed.id == instance and self.route in states


async def read(connection: Connection, deployment: DeploymentId) -> Situation | None:
    """Return the situation of the deployment's app; None for a deployment that doesn't exist."""
    row = await connection.fetchrow(SQL.read, deployment)
    return Situation.from_row(row) if row else None
