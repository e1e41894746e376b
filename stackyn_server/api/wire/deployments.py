"""Deployments and releases: contract sections 3 and 6."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from stackyn_server.api.wire.base import RequestBody, ResponseBody, left_out_when_none, read_from
from stackyn_server.domain.deployments import Cause, Phase, Status
from stackyn_server.domain.failures import FailureCode
from stackyn_server.services.views import DeploymentView

LARGEST_NUMBER = 2**31 - 1


class NullableText(ResponseBody):
    """Text that may be missing, in the form that published clients know."""

    String: str
    Valid: bool

    @classmethod
    def of(cls, text: str | None) -> NullableText:
        return cls(String=text or "", Valid=bool(text))


class Failure(ResponseBody):
    """Why a deployment failed: `message` names the cause, `hint` the next step, `evidence` has raw lines."""

    code: FailureCode
    phase: str
    message: str
    hint: str
    evidence: str


class Wait(ResponseBody):
    """Why a deployment doesn't move right now; `position` counts from 1, `next_attempt_at` is set between retries."""

    reason: str
    position: int | None
    attempt: int
    next_attempt_at: datetime | None


class Deployment(ResponseBody):
    id: int
    app_id: int
    status: Status
    image_name: NullableText
    container_id: NullableText
    subdomain: NullableText
    build_log: NullableText
    runtime_log: NullableText
    error_message: NullableText
    created_at: datetime
    updated_at: datetime
    phase: Phase
    cause: Cause
    branch: str
    commit: str | None
    waiting: Wait | None
    live_at: datetime | None
    ended_at: datetime | None
    failure: Failure | None = left_out_when_none()

    @classmethod
    def of(cls, view: DeploymentView) -> Deployment:
        return cls(
            id=view.id,
            app_id=view.app,
            status=view.status,
            image_name=NullableText.of(view.image),
            container_id=NullableText.of(view.container),
            subdomain=NullableText.of(view.subdomain),
            build_log=NullableText.of(None),
            runtime_log=NullableText.of(None),
            error_message=NullableText.of(view.error_message),
            created_at=view.created_at,
            updated_at=view.updated_at,
            phase=view.phase,
            cause=view.cause,
            branch=view.branch,
            commit=view.commit,
            waiting=Wait.from_view(view.wait) if view.wait else None,
            live_at=view.live_at,
            ended_at=view.ended_at,
            failure=Failure(**view.failure) if view.failure else None,
        )


class Release(ResponseBody):
    """`available` says that its image is still here, so that a rollback to it is possible."""

    release: int = read_from("number")
    deployment_id: int = read_from("deployment")
    commit: str | None
    image: str
    created_at: datetime
    current: bool = read_from("is_current")
    available: bool = read_from("is_available")


class Rollback(RequestBody):
    release: int = Field(ge=1, le=LARGEST_NUMBER)
