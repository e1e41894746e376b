"""Logs as values: a line that a container wrote, a stored chunk of a log, an entry in the list of an app's logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from stackyn_server.domain.ids import AppId, DeploymentId

LogKind = Literal["build", "runtime"]
StreamName = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line without its end. `nanoseconds` since 1970 is the exact time; `follow` resumes from it."""

    at: datetime
    nanoseconds: int
    stream: StreamName
    text: str


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of a log: whole lines, each with its newline. Ids ascend within a deployment."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """`size` in bytes of UTF-8."""

    id: int
    app: AppId
    deployment: DeploymentId | None
    kind: LogKind
    created_at: datetime
    content: str
    size: int
