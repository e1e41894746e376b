"""What readers within this process are told after a commit. The rows are the truth: a notice saves reading them."""

from __future__ import annotations

from dataclasses import dataclass

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.domain.logs import LogChunk, LogKind


@dataclass(frozen=True, slots=True)
class DeploymentMoved:
    """A deployment was requested, or its phase changed; `version` grows with each change. `message`: why it failed."""

    app: AppId
    deployment: DeploymentId
    version: int
    phase: Phase
    message: str | None


@dataclass(frozen=True, slots=True)
class LogStored:
    app: AppId
    deployment: DeploymentId
    kind: LogKind
    chunk: LogChunk


@dataclass(frozen=True, slots=True)
class RouteChanged:
    """Another instance may serve the app now."""

    app: AppId
    deployment: None = None


@dataclass(frozen=True, slots=True)
class Unclear:
    """The answer to a COMMIT was lost: something may have changed, and its readers read the rows."""

    app: AppId
    deployment: DeploymentId | None


Notice = DeploymentMoved | LogStored | RouteChanged | Unclear
