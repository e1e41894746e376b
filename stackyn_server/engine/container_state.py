"""The state of a container as the engine reports it. Only members that all engines from 20.10 to 29 have are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any

from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId
from stackyn_server.engine import labels as keys
from stackyn_server.engine.timestamps import parse_time

SIGKILLED = 128 + 9  # exit code of a program that SIGKILL ended, also where a shell reports it


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A value with a container's labels, which name its app and its instance."""

    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def instance(self) -> InstanceId | None:
        return keys.read_id(InstanceId, self.labels, keys.INSTANCE)

    @property
    def app(self) -> AppId | None:
        return keys.read_id(AppId, self.labels, keys.APP)


@dataclass(frozen=True, slots=True)
class ContainerState(Labelled):
    """One inspected container.

    `running` is false while the engine waits to start it again (`restarting`). `pid` is 0 when no process runs.
    `out_of_memory` is also true when only a child was killed, and can come with exit code 0 (measured). False
    proves nothing: 20.10 misses some of the containers that end as `SIGKILLED` at once (measured: 1 of 10).
    `address` is the container's address on the app network, None without one. `image` is an id.
    """

    id: str
    name: str
    running: bool
    restarting: bool
    pid: int
    exit_code: int
    out_of_memory: bool
    restart_count: int
    started_at: datetime | None
    finished_at: datetime | None
    image: str
    address: IPv4Address | None


@dataclass(frozen=True, slots=True)
class ContainerSummary(Labelled):
    """One container of a listing. `state` is one of the engine's states: created, running, restarting, paused, exited,
    dead."""

    id: str
    name: str
    state: str

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def deployment(self) -> DeploymentId | None:
        return keys.read_id(DeploymentId, self.labels, keys.DEPLOYMENT)

    @property
    def role(self) -> str:
        return self.labels.get(keys.ROLE, "")


def parse_state(answer: Mapping[str, Any]) -> ContainerState:
    """Read an answer of `/containers/<id>/json`."""
    state = answer["State"]
    restarting = bool(state.get("Restarting"))
    return ContainerState(
        id=answer["Id"],
        name=str(answer["Name"]).removeprefix("/"),
        running=bool(state.get("Running")) and not restarting,
        restarting=restarting,
        pid=int(state.get("Pid") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
        restart_count=int(answer.get("RestartCount") or 0),
        started_at=parse_time(state.get("StartedAt")),
        finished_at=parse_time(state.get("FinishedAt")),
        image=answer["Image"],
        address=_address(answer),
        labels=answer["Config"].get("Labels") or {},
    )


def parse_summary(entry: Mapping[str, Any]) -> ContainerSummary:
    """Read one entry of `/containers/json`."""
    names = [str(name).removeprefix("/") for name in entry.get("Names") or []]
    return ContainerSummary(
        id=entry["Id"],
        name=next((name for name in names if "/" not in name), ""),  # a name with a slash is a link
        state=str(entry.get("State", "")),
        labels=entry.get("Labels") or {},
    )


def _address(answer: Mapping[str, Any]) -> IPv4Address | None:
    networks = (answer.get("NetworkSettings") or {}).get("Networks") or {}
    for network in networks.values():
        reserved = (network.get("IPAMConfig") or {}).get("IPv4Address")
        if text := network.get("IPAddress") or reserved:
            return IPv4Address(text)
    return None
