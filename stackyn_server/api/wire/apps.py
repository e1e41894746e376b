"""Apps and their variables: contract sections 3 and 6."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from stackyn_server.api.wire.base import RequestBody, ResponseBody, Text, left_out_when_none
from stackyn_server.api.wire.deployments import Deployment
from stackyn_server.domain.app_settings import LONGEST_COMMAND
from stackyn_server.domain.apps import DEFAULT_PROTOCOL, AppSettings, Protocol
from stackyn_server.domain.deployments import Status
from stackyn_server.services.views import AppView as View
from stackyn_server.services.views import Created as CreatedView
from stackyn_server.services.views import Usage

MEBIBYTES_PER_GIBIBYTE = 1024
NO_DEPLOYMENT = "none"
LEAST_MEBIBYTES = 16
MOST_MEBIBYTES = 2**24
MOST_CORES = 256.0
# The same as of `stackyn.toml` in a repository.
MOST_HEALTH_SECONDS = 3600
LEAST_BUILD_MEBIBYTES, MOST_BUILD_MEBIBYTES = 64, 1_048_576

_NULLABLE_SETTINGS = (
    "port",
    "health_path",
    "health_timeout_seconds",
    "root_directory",
    "dockerfile_path",
    "build_target",
    "build_memory_mb",
    "runtime",
    "runtime_version",
    "install_command",
    "build_command",
    "release_command",
    "start_command",
    "publish_directory",
)
_PLAIN_SETTINGS = ("memory_mb", "disk_mb", "cpu", "auto_deploy")

Mebibytes = Annotated[int, Field(ge=LEAST_MEBIBYTES, le=MOST_MEBIBYTES)]
Cores = Annotated[float, Field(gt=0, le=MOST_CORES, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]
HealthSeconds = Annotated[int, Field(ge=1, le=MOST_HEALTH_SECONDS)]
BuildMebibytes = Annotated[int, Field(ge=LEAST_BUILD_MEBIBYTES, le=MOST_BUILD_MEBIBYTES)]
Command = Annotated[Text, Field(max_length=LONGEST_COMMAND)]


class SettingsBody(RequestBody):
    """What the owner may set; absent keys stay as they are. `null` and "" mean what the repository says (stackyn.toml,
    the Procfile, files of other hosts), else the platform's default."""

    memory_mb: Mebibytes | None = None
    disk_mb: Mebibytes | None = None
    cpu: Cores | None = None
    port: Port | None = None
    health_path: Command | None = None
    health_timeout_seconds: HealthSeconds | None = None
    root_directory: Command | None = None
    dockerfile_path: Command | None = None
    use_dockerfile: bool | None = None
    build_target: Command | None = None
    build_memory_mb: BuildMebibytes | None = None
    runtime: Command | None = None
    runtime_version: Command | None = None
    install_command: Command | None = None
    build_command: Command | None = None
    release_command: Command | None = None
    start_command: Command | None = None
    publish_directory: Command | None = None
    protocol: Protocol | None = None
    auto_deploy: bool | None = None

    def chosen_settings(self) -> dict[str, Any]:
        """Return what was sent, in the words of `domain.apps.AppSettings`."""
        chosen: dict[str, Any] = {
            name: getattr(self, name) or None for name in _NULLABLE_SETTINGS if name in self.model_fields_set
        }
        for name in _PLAIN_SETTINGS:
            value = getattr(self, name)
            if value is not None:
                chosen[name] = value
        if "use_dockerfile" in self.model_fields_set:
            chosen["use_dockerfile"] = self.use_dockerfile
        if "protocol" in self.model_fields_set:
            chosen["protocol"] = self.protocol or DEFAULT_PROTOCOL
        return chosen


class NewVariable(RequestBody):
    key: Text
    value: Text = ""


class NewApp(SettingsBody):
    name: Text
    repo_url: Text
    slug: Text | None = None
    branch: Text | None = None
    env_vars: list[NewVariable] | None = None


class AppChange(SettingsBody):
    name: Text | None = None
    branch: Text | None = None

    def changes(self) -> dict[str, Any]:
        changes = self.chosen_settings()
        for name in ("name", "branch"):
            if value := getattr(self, name):
                changes[name] = value
        return changes


class App(ResponseBody):
    """`status` is the contract's word, `phase` the finer truth: beside those of a deployment `stopped`, `sleeping`,
    `down` (it should run, its container does not, and it is being brought back: the status is `failed` meanwhile) and
    `unhealthy` (it runs and does not answer its health checks). `url` is stable once it is there."""

    id: str
    name: str
    slug: str
    status: Status
    url: str
    repo_url: str
    branch: str
    created_at: datetime
    updated_at: datetime
    phase: str
    stop_reason: str | None

    @classmethod
    def of(cls, view: View) -> App:
        return cls(**_app(view))


class ResourceLimits(ResponseBody):
    memory_mb: int
    cpu: float
    disk_gb: float


class UsageStats(ResponseBody):
    """The newest measurement; percentages of the app's own limits."""

    memory_usage_mb: int
    memory_usage_percent: float
    disk_usage_gb: float
    disk_usage_percent: float
    restart_count: int


class AppDeployment(ResponseBody):
    """`state` is the status of the active deployment, or `none`."""

    active_deployment_id: str | None
    last_deployed_at: datetime | None
    state: str
    waiting_reason: str | None
    resource_limits: ResourceLimits | None = left_out_when_none()
    usage_stats: UsageStats | None = left_out_when_none()


class Settings(ResponseBody):
    memory_mb: int
    disk_mb: int
    cpu: float
    port: int | None
    health_path: str | None
    health_timeout_seconds: int | None
    root_directory: str | None
    dockerfile_path: str | None
    use_dockerfile: bool | None
    build_target: str | None
    build_memory_mb: int | None
    runtime: str | None
    runtime_version: str | None
    install_command: str | None
    build_command: str | None
    release_command: str | None
    start_command: str | None
    publish_directory: str | None
    protocol: Protocol
    auto_deploy: bool

    @classmethod
    def of(cls, settings: AppSettings) -> Settings:
        return cls(**settings.as_json())


class AppView(App):
    deployment: AppDeployment
    settings: Settings

    @classmethod
    def of(cls, view: View) -> AppView:
        active = view.active_deployment
        return cls(
            **_app(view),
            settings=Settings.of(view.settings),
            deployment=AppDeployment(
                active_deployment_id=f"dep_{active}" if active is not None else None,
                last_deployed_at=view.last_deployed_at,
                state=view.state.value if view.state else NO_DEPLOYMENT,
                waiting_reason=view.waiting_reason,
                resource_limits=_limits(view.settings) if view.usage else None,
                usage_stats=_usage(view.usage) if view.usage else None,
            ),
        )


class Created(ResponseBody):
    app: App
    deployment: Deployment

    @classmethod
    def of(cls, created: CreatedView) -> Created:
        return cls(app=App.of(created.app), deployment=Deployment.of(created.deployment))


class Redeployed(ResponseBody):
    message: str
    app: App
    deployment: Deployment

    @classmethod
    def of(cls, message: str, created: CreatedView) -> Redeployed:
        return cls(message=message, app=App.of(created.app), deployment=Deployment.of(created.deployment))


class Deleted(ResponseBody):
    app_id: int
    message: str


def _app(view: View) -> dict[str, Any]:
    return {
        "id": str(view.id),
        "name": view.name,
        "slug": view.slug,
        "status": view.status,
        "url": view.url,
        "repo_url": view.repository,
        "branch": view.branch,
        "created_at": view.created_at,
        "updated_at": view.updated_at,
        "phase": view.phase,
        "stop_reason": view.stop_reason,
    }


def _limits(settings: AppSettings) -> ResourceLimits:
    return ResourceLimits(
        memory_mb=settings.memory_mb,
        cpu=settings.cpu,
        disk_gb=round(settings.disk_mb / MEBIBYTES_PER_GIBIBYTE, 2),
    )


def _usage(usage: Usage) -> UsageStats:
    return UsageStats(
        memory_usage_mb=usage.memory_mb,
        memory_usage_percent=usage.memory_percent,
        disk_usage_gb=usage.disk_gb,
        disk_usage_percent=usage.disk_percent,
        restart_count=usage.restart_count,
    )
