"""The administrators' view of users and apps."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.accounts import PlainUser, Quota
from stackyn_server.api.wire.admin import (
    AllApps,
    AppDone,
    AppPage,
    AppRedeployed,
    AppStopped,
    Audit,
    AuditEntry,
    AuditQuery,
    ListedApp,
    ListedUser,
    PlanChange,
    PlanChanged,
    UserDeleted,
    UserDetail,
    UserPage,
    Users,
)
from stackyn_server.api.wire.deployments import Deployment
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.services.sessions import Caller


async def list_users(services: Services, page: UserPage) -> Users:
    """Return users, newest first; `search` is a part of the address, whatever its case."""
    user_list = await services.administration.users(search=page.search, limit=page.limit, offset=page.offset)
    users = [ListedUser.of(view) for view in user_list.users]
    return Users(users=users, total=user_list.total, limit=page.limit, offset=page.offset)


async def show_user(services: Services, user: UserId) -> UserDetail:
    """Return one user with quota."""
    return UserDetail.of(await services.administration.user(user))


async def set_plan(services: Services, caller: Caller, user: UserId, body: PlanChange) -> PlanChanged:
    """Put a user on another plan."""
    changed = await services.administration.set_plan(caller, user, body.plan)
    return PlanChanged(
        message="The plan is changed.",
        user_id=str(user),
        plan=changed.account.plan,
        user=PlainUser.from_view(changed.account),
        quota=Quota.of(changed.quota),
    )


async def delete_user(services: Services, caller: Caller, user: UserId) -> UserDeleted:
    """Delete a user; the apps are torn down for certain."""
    deleted = await services.administration.delete_user(caller, user)
    return UserDeleted(message="The user is deleted.", user_id=str(user), apps_deleted=deleted)


async def list_apps(services: Services, page: AppPage) -> AllApps:
    """Return everybody's apps, newest first."""
    app_list = await services.administration.apps(limit=page.limit, offset=page.offset)
    apps = [ListedApp.of(view) for view in app_list.apps]
    return AllApps(apps=apps, total=app_list.total, limit=page.limit, offset=page.offset)


async def stop_app(services: Services, caller: Caller, app: AppId) -> AppStopped:
    """Stop an app; it counts as stopped at once."""
    stopped = await services.administration.stop(caller, app)
    return AppStopped(message="The app is stopped.", app_id=app, stopped_containers=stopped)


async def start_app(services: Services, caller: Caller, app: AppId) -> AppDone:
    """Run an app's release again, without a build."""
    await services.administration.start(caller, app)
    return AppDone(message="The app starts.", app_id=app)


async def redeploy_app(services: Services, caller: Caller, app: AppId) -> AppRedeployed:
    """Build an app again, whatever its owner's quota says."""
    deployment = await services.administration.redeploy(caller, app)
    return AppRedeployed(
        message="The deployment is queued.", app_id=app, deployment=Deployment.of(deployment)
    )


async def delete_app(services: Services, caller: Caller, app: AppId) -> AppDone:
    """Delete an app; everything of it is removed for certain."""
    await services.administration.delete_app(caller, app)
    return AppDone(message="The app is deleted.", app_id=app)


async def audit(services: Services, page: AuditQuery) -> Audit:
    """Return what administrators did or were refused, and how credentials changed, newest first."""
    user = UserId(page.user) if page.user else None
    found = await services.audit_log.page(user=user, action=page.action, limit=page.limit, offset=page.offset)
    entries = [AuditEntry.from_view(row) for row in found.rows]
    return Audit(audit=entries, total=found.total, limit=page.limit, offset=page.offset)
