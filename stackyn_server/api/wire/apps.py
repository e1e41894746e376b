"""Apps and their variables: contract sections 3 and 6."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from stackyn_server.api.wire.base import Id, RequestBody, ResponseBody, Text, left_out_when_none, read_from
from stackyn_server.api.wire.deployments import Deployment
from stackyn_server.domain.app_settings import LONGEST_COMMAND
from stackyn_server.domain.apps import DEFAULT_PROTOCOL, AppSettings, Protocol
from stackyn_server.domain.deployments import Status
from stackyn_server.services.account_views import MEBIBYTES_PER_GIBIBYTE
from stackyn_server.services.views import AppStateView, CreatedView

NO_DEPLOYMENT = "none"
LEAST_MEBIBYTES = 16
MOST_MEBIBYTES = 2**24
LEAST_CORES, MOST_CORES = 0.01, 256.0
# The same as of `stackyn.toml` in a repository.
MOST_HEALTH_SECONDS = 3600
LEAST_BUILD_MEBIBYTES, MOST_BUILD_MEBIBYTES = 64, 1_048_576

_NEVER_NULL = ("memory_mb", "disk_mb", "cpu", "auto_deploy")

Mebibytes = Annotated[int, Field(ge=LEAST_MEBIBYTES, le=MOST_MEBIBYTES)]
Cores = Annotated[float, Field(ge=LEAST_CORES, le=MOST_CORES, allow_inf_nan=False)]
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
        sent = self.model_dump(include=self.model_fields_set & SettingsBody.model_fields.keys())
        chosen = {name: None if value == "" else value for name, value in sent.items()}
        if "protocol" in chosen:
            chosen["protocol"] = chosen["protocol"] or DEFAULT_PROTOCOL
        return {name: value for name, value in chosen.items() if value is not None or name not in _NEVER_NULL}


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

    id: Id
    name: str
    slug: str
    status: Status
    url: str
    repo_url: str = read_from("repository")
    branch: str
    created_at: datetime
    updated_at: datetime
    phase: str
    stop_reason: str | None


class ResourceLimits(ResponseBody):
    memory_mb: int
    cpu: float
    disk_gb: float

    @classmethod
    def of(cls, settings: AppSettings) -> ResourceLimits:
        disk_gb = round(settings.disk_mb / MEBIBYTES_PER_GIBIBYTE, 2)
        return cls(memory_mb=settings.memory_mb, cpu=settings.cpu, disk_gb=disk_gb)


class UsageStats(ResponseBody):
    """The newest measurement; percentages of the app's own limits."""

    memory_usage_mb: int = read_from("memory_mb")
    memory_usage_percent: float = read_from("memory_percent")
    disk_usage_gb: float = read_from("disk_gb")
    disk_usage_percent: float = read_from("disk_percent")
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


class AppView(App):
    deployment: AppDeployment
    settings: Settings

    @classmethod
    def of(cls, view: AppStateView) -> AppView:
        active = view.active_deployment
        return cls(
            **App.from_view(view).model_dump(),
            settings=Settings.from_view(view.settings),
            deployment=AppDeployment(
                active_deployment_id=f"dep_{active}" if active is not None else None,
                last_deployed_at=view.last_deployed_at,
                state=view.state.value if view.state else NO_DEPLOYMENT,
                waiting_reason=view.waiting_reason,
                resource_limits=ResourceLimits.of(view.settings) if view.usage else None,
                usage_stats=UsageStats.from_view(view.usage) if view.usage else None,
            ),
        )


class Created(ResponseBody):
    app: App
    deployment: Deployment

    @classmethod
    def of(cls, created: CreatedView) -> Created:
        return cls(app=App.from_view(created.app), deployment=Deployment.of(created.deployment))


class Redeployed(ResponseBody):
    message: str
    app: App
    deployment: Deployment

    @classmethod
    def of(cls, message: str, created: CreatedView) -> Redeployed:
        app, deployment = App.from_view(created.app), Deployment.of(created.deployment)
        return cls(message=message, app=app, deployment=deployment)


class Deleted(ResponseBody):
    app_id: int
    message: str
