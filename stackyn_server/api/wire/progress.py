"""Progress of a build as frames, and what is known of a serving container: contract section 3."""

from __future__ import annotations

from typing import Any, Literal

from stackyn_server.api.wire.base import Query, ResponseBody, left_out_when_none, read_from
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId
from stackyn_server.services.progress import Progress

Stage = Literal["cloning", "detecting", "building", "deploying"]
BuildStatusWord = Literal["building", "deploying", "completed", "failed"]

# Each open phase as the frame's word, stage, percentage and sentence.
_UNDER_WAY: dict[Phase, tuple[BuildStatusWord, Stage, int, str]] = {
    Phase.QUEUED: ("building", "cloning", 0, "Waiting for its turn."),
    Phase.FETCHING: ("building", "cloning", 10, "Fetching the commit."),
    Phase.PLANNING: ("building", "detecting", 25, "Finding out how to build it."),
    Phase.BUILDING: ("building", "building", 40, "Building the image."),
    Phase.BUILT: ("deploying", "deploying", 70, "Waiting to start."),
    Phase.RELEASING: ("deploying", "deploying", 75, "Running its release command."),
    Phase.BOOTING: ("deploying", "deploying", 80, "Starting the container."),
    Phase.PROBING: ("deploying", "deploying", 90, "Waiting for its first answer."),
    Phase.SWITCHING: ("deploying", "deploying", 95, "Switching requests over to it."),
}
_COMPLETED = frozenset({Phase.LIVE, Phase.REPLACED, Phase.STOPPED})


class BuildStatusQuery(Query):
    """`token` is for browsers, which can't send a header with a WebSocket. Neither is stored: both may be anything."""

    app_id: str
    token: str | None = None


class BuildProgress(ResponseBody):
    stage: Stage
    message: str
    percent: int


class BuildStatus(ResponseBody):
    """One text frame. Both ids are strings here."""

    type: Literal["build_status"] = "build_status"
    app_id: str
    build_job_id: str
    status: BuildStatusWord
    progress: BuildProgress | None = left_out_when_none()
    data: dict[str, Any] | None = left_out_when_none()

    @classmethod
    def of(cls, app: AppId, view: Progress) -> BuildStatus:
        ids = {"app_id": str(app), "build_job_id": str(view.deployment)}
        if view.phase in _UNDER_WAY:
            word, stage, percent, message = _UNDER_WAY[view.phase]
            progress = BuildProgress(stage=stage, message=message, percent=percent)
            return cls(**ids, status=word, progress=progress, data={"phase": view.phase})
        data: dict[str, Any] = {"phase": view.phase}
        if view.error_message:
            data["message"] = view.error_message
        return cls(**ids, status="completed" if view.phase in _COMPLETED else "failed", data=data)


class Verification(ResponseBody):
    app_id: int = read_from("app")
    app_name: str
    container_id: str = read_from("container")
    container_name: str
    subdomain: str = read_from("slug")
    url: str
    port: int
    is_running: bool
    ingress_configured: bool = read_from("is_routed")
    traefik_configured: bool = read_from("is_routed")
    health_check_passed: bool = read_from("is_probed")
    success: bool = read_from("is_right")
    errors: list[str]
