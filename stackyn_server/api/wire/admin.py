"""What the CMS reads and sends: contract section 5."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator

from stackyn_server.api.wire.accounts import PlainUser, Quota
from stackyn_server.api.wire.apps import NO_DEPLOYMENT, App
from stackyn_server.api.wire.base import Query, RequestBody, ResponseBody, Text, left_out_when_none, read_from
from stackyn_server.api.wire.deployments import Deployment
from stackyn_server.api.wire.logs import Offset, lenient
from stackyn_server.services.administration import UserView
from stackyn_server.services.views import AppStateView

USUAL_PAGE, MOST_A_PAGE = 50, 100

PageSize = Annotated[int, *lenient(1, MOST_A_PAGE, USUAL_PAGE)]


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


class UserPage(Query):
    limit: PageSize = USUAL_PAGE
    offset: Offset = 0
    search: Text = ""


class AppPage(Query):
    limit: PageSize = USUAL_PAGE
    offset: Offset = 0


class AuditQuery(Query):
    """`user`: only what this account did, or what was done to it. `action`: only this one, as in `app.stopped`."""

    limit: PageSize = USUAL_PAGE
    offset: Offset = 0
    user: UUID | None = None
    action: Text | None = None


class AuditEntry(ResponseBody):
    """`actor_id` null: the platform, or its operator on the command line. `outcome` is `done` or `refused`."""

    id: int
    actor_id: Annotated[str | None, BeforeValidator(_text_or_none)] = read_from("actor")
    actor_email: str | None
    action: str
    subject: str
    outcome: str
    data: dict[str, Any]
    created_at: datetime


class Audit(ResponseBody):
    audit: list[AuditEntry]
    total: int
    limit: int
    offset: int


class PlanChange(RequestBody):
    plan: Text


class ListedUser(ResponseBody):
    id: str
    email: str
    full_name: str | None = left_out_when_none()
    company_name: str | None = left_out_when_none()
    email_verified: bool
    plan: str
    is_admin: bool
    created_at: datetime
    updated_at: datetime
    quota: Quota

    @classmethod
    def of(cls, view: UserView) -> ListedUser:
        return cls(**PlainUser.from_view(view.account).model_dump(), quota=Quota.of(view.quota))


class UserDetail(PlainUser):
    quota: Quota

    @classmethod
    def of(cls, view: UserView) -> UserDetail:
        return cls(**PlainUser.from_view(view.account).model_dump(), quota=Quota.of(view.quota))


class Users(ResponseBody):
    users: list[ListedUser]
    total: int
    limit: int
    offset: int


class PlanChanged(ResponseBody):
    message: str
    user_id: str
    plan: str
    user: PlainUser
    quota: Quota


class UserDeleted(ResponseBody):
    message: str
    user_id: str
    apps_deleted: int


class ListedApp(App):
    deployment_count: int
    latest_status: str
    user_id: str
    user_email: str

    @classmethod
    def of(cls, view: AppStateView) -> ListedApp:
        return cls(
            **App.from_view(view).model_dump(),
            deployment_count=view.deployment_count,
            latest_status=view.newest_status.value if view.newest_status else NO_DEPLOYMENT,
            user_id=str(view.tenant),
            user_email=view.tenant_email,
        )


class AllApps(ResponseBody):
    apps: list[ListedApp]
    total: int
    limit: int
    offset: int


class AppDone(ResponseBody):
    message: str
    app_id: int


class AppStopped(AppDone):
    stopped_containers: int


class AppRedeployed(AppDone):
    deployment: Deployment
