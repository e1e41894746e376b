"""What admins do with everybody's accounts and apps. Each deed is recorded in its transaction, each refusal as one."""

from __future__ import annotations

from dataclasses import dataclass

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.errors import InvalidRequest, NotFound
from stackyn_server.services.account_views import (
    AccountView,
    QuotaView,
    account_view,
    quota_view,
    require_plan,
)
from stackyn_server.services.app_access import find_app, lock_app
from stackyn_server.services.apps import Apps
from stackyn_server.services.audit_log import AuditLog
from stackyn_server.services.billing import Billing
from stackyn_server.services.deploy_requests import Leader, delete_app, stop_app
from stackyn_server.services.deployments import Deployments
from stackyn_server.services.sessions import Caller
from stackyn_server.services.views import AppStateView, DeploymentView
from stackyn_server.store import accounts, apps, instances, registries, sessions, tokens
from stackyn_server.store.accounts import AccountUse
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Mover


@dataclass(frozen=True, slots=True)
class UserView:
    account: AccountView
    quota: QuotaView


@dataclass(frozen=True, slots=True)
class UserList:
    """`total` counts the accounts that the search finds, on all pages."""

    users: list[UserView]
    total: int


@dataclass(frozen=True, slots=True)
class AppList:
    apps: list[AppStateView]
    total: int


STOPPED_BY_ADMIN = "An administrator stopped the app."


class NoSuchUser(NotFound):
    def __init__(self) -> None:
        super().__init__("User not found")


class Administration:
    def __init__(
        self,
        database: Database,
        settings: Settings,
        leader: Leader,
        apps: Apps,
        deployments: Deployments,
        billing: Billing,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._settings = settings
        self._leader = leader
        self._apps = apps
        self._deployments = deployments
        self._billing = billing
        self._audit = audit

    async def users(self, *, search: str, limit: int, offset: int) -> UserList:
        """Return accounts, newest first, whose address has `search` in it, whatever its case."""
        async with self._database.connection() as connection:
            uses = await accounts.page(connection, search=search, limit=limit, offset=offset)
            total = await accounts.count(connection, search=search)
        return UserList([self._user(use) for use in uses], total)

    async def user(self, account: UserId) -> UserView:
        async with self._database.connection() as connection:
            return await self._user_view(connection, account)

    async def set_plan(self, actor: Caller, account: UserId, plan: str) -> UserView:
        """Put an account on another billing plan, active from now on. Raises `InvalidRequest` for an unknown one."""
        require_plan(self._settings, plan)
        async with self._audit.deed(actor, "user.plan_set", account) as deed:
            locked = await accounts.lock(deed.connection, account)
            if locked is None:
                raise NoSuchUser
            await self._billing.grant(deed.connection, locked, plan)
            deed.data["plan"] = plan
            return await self._user_view(deed.connection, account)

    async def delete_user(self, actor: Caller, account: UserId) -> int:
        """Delete an account and have its apps torn down; returns how many. Not oneself, and not the last admin."""
        mover = Mover(self._leader.epoch, "api:delete-user")
        async with self._audit.deed(actor, "user.deleted", account) as deed:
            connection = deed.connection
            admins = await accounts.lock_admins(connection)
            if account == actor.id:
                raise InvalidRequest("You can't delete your own account.")
            if admins == [account]:
                raise InvalidRequest("The last administrator can't be deleted.")
            if not await accounts.mark_deleted(connection, account):
                raise NoSuchUser
            await sessions.end_all(connection, account)
            await tokens.delete_all(connection, account)
            await registries.delete_all(connection, account)
            owned = deed.data["apps"] = await apps.ids_of_tenant(connection, account)
            for app in owned:
                await delete_app(connection, await lock_app(connection, app, account), mover)
        return len(owned)

    async def apps(self, *, limit: int, offset: int) -> AppList:
        """Return everybody's apps, newest first."""
        return AppList(await self._apps.list(None, limit=limit, offset=offset), await self._apps.count(None))

    async def stop(self, actor: Caller, app: AppId) -> int:
        """Stop an app durably; returns how many containers were serving when asked."""
        async with self._audit.deed(actor, "app.stopped", app) as deed:
            locked = await lock_app(deed.connection, app, None)
            serving = await instances.of_route(deed.connection, app)
            mover = Mover(self._leader.epoch, "api:admin-stop")
            await stop_app(deed.connection, locked, mover, reason=STOPPED_BY_ADMIN)
        return 0 if serving is None else 1

    async def start(self, actor: Caller, app: AppId) -> None:
        """Run an app's release again, without a build. Raises `Conflict` without one."""
        async with self._audit.deed(actor, "app.started", app) as deed:
            await self._deployments.start_within(deed.connection, None, app)

    async def redeploy(self, actor: Caller, app: AppId) -> DeploymentView:
        """Build an app again, whatever its owner's quota says."""
        async with self._audit.deed(actor, "app.redeployed", app) as deed:
            known_app = await find_app(deed.connection, app, None)
            owner = await accounts.get(deed.connection, known_app.tenant)
            plan = owner.plan if owner else self._settings.billing.default_plan
            created = await self._deployments.redeploy_within(deed.connection, None, plan, app)
        return created.deployment

    async def delete_app(self, actor: Caller, app: AppId) -> None:
        mover = Mover(self._leader.epoch, "api:admin-delete")
        async with self._audit.deed(actor, "app.deleted", app) as deed:
            await delete_app(deed.connection, await lock_app(deed.connection, app, None), mover)

    async def _user_view(self, connection: Connection, account: UserId) -> UserView:
        uses = await accounts.page(connection, account=account)
        if not uses:
            raise NoSuchUser
        return self._user(uses[0])

    def _user(self, use: AccountUse) -> UserView:
        return UserView(account_view(use.account), quota_view(self._settings, use))
