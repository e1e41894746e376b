"""What a tenant may do with an app as a whole: create, look, change, stop, start, restart, delete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stackyn_server.buildplan.runtimes.table import RUNTIMES
from stackyn_server.config import Settings
from stackyn_server.domain.app_settings import checked
from stackyn_server.domain.apps import (
    Amount,
    AppSettings,
    check_amount,
    cut_slug,
    slug_from_name,
    valid_branch,
    valid_name,
    valid_slug,
    valid_variable,
    with_suffix,
)
from stackyn_server.domain.billing_plans import (
    Reservation,
    check_build_memory,
    check_machine_cores,
    check_quota,
)
from stackyn_server.domain.deployments import Cause
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.domain.jobs import Kind
from stackyn_server.domain.seats import seats_in
from stackyn_server.errors import Conflict, SignInRequired, Unavailable
from stackyn_server.security.sealing import Sealer
from stackyn_server.security.variables import seal_variable
from stackyn_server.services.account_views import billing_plan, require_disk
from stackyn_server.services.app_access import NoSuchApp, lock_app
from stackyn_server.services.deploy_requests import Leader, Owner, build_priority, delete_app, stop_app
from stackyn_server.services.payment import require_still_paid
from stackyn_server.services.views import AppStateView, CreatedView, app_view, deployment_view
from stackyn_server.source.refs import HEAD
from stackyn_server.source.repository_url import parse_url, split_browser_url
from stackyn_server.store import apps, deployments, events, jobs, variables
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Mover
from stackyn_server.store.failures import Duplicate

_RUNTIMES = frozenset(runtime.name for runtime in RUNTIMES)
_OF_QUOTA = frozenset(("memory_mb", "disk_mb", "cpu"))
_SLUG_TRIES = 5
_SUFFIX_BYTES = 3


@dataclass(frozen=True, slots=True)
class AppRequest:
    """A request to create. An empty slug is derived from the name; `settings` holds what the owner chose."""

    name: str
    repository: str
    slug: str = ""
    branch: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


class Apps:
    def __init__(self, database: Database, settings: Settings, sealer: Sealer, leader: Leader) -> None:
        self._database = database
        self._settings = settings
        self._sealer = sealer
        self._leader = leader

    async def list(
        self,
        tenant: UserId | None,
        *,
        app: AppId | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[AppStateView]:
        """Return the tenant's apps (None: everybody's; with `app`, that one), newest first, from one query."""
        async with self._database.connection() as connection:
            states = await apps.view(connection, tenant=tenant, app=app, limit=limit, offset=offset)
        return [app_view(self._settings, state) for state in states]

    async def count(self, tenant: UserId | None) -> int:
        async with self._database.connection() as connection:
            return await apps.count(connection, tenant=tenant)

    async def get(self, tenant: UserId | None, app: AppId) -> AppStateView:
        async with self._database.connection() as connection:
            return await self._view(connection, app, tenant)

    async def create(self, owner: Owner, new: AppRequest) -> CreatedView:
        """Commit app, variables, deployment and job together.

        Raises `InvalidRequest`, `Forbidden` (quota) and `Conflict` (name or chosen slug taken).
        """
        name, source = valid_name(new.name), split_browser_url(new.repository)
        branch = valid_branch(new.branch or source.branch or HEAD)
        repository = parse_url(self._settings.source, source.repository).url
        environment = dict(valid_variable(key, value) for key, value in new.variables)
        limits = self._settings.apps
        check_amount(Amount(0, 0), Amount.of(environment), Amount(limits.variables, limits.variables_bytes))
        chosen_settings = {"root_directory": source.folder, **new.settings} if source.folder else new.settings
        settings = _chosen(self._default_settings(owner), chosen_settings)
        self._check_limits_of_one_app(owner, chosen_settings)
        chosen = valid_slug(cut_slug(new.slug)) if new.slug else None
        for _ in range(_SLUG_TRIES):
            try:
                async with self._database.transaction() as connection:
                    slug = await self._free_slug(connection, owner, chosen or slug_from_name(name))
                    app = await self._insert(connection, owner, name, slug, repository, branch, settings)
                    if chosen not in (None, slug):  # after the quota and the name have been checked
                        raise _taken(chosen, slug)
                    for key, value in environment.items():
                        sealed = seal_variable(self._sealer, app.tenant, app.id, key, value)
                        await variables.put(connection, app.id, key, sealed)
                    deployment = await deployments.insert(
                        connection, app=app.id, tenant=app.tenant, cause=Cause.CREATE, branch=branch
                    )
                    await jobs.enqueue_for_deployment(
                        connection,
                        Kind.BUILD,
                        deployment,
                        priority=build_priority(self._settings, owner.plan),
                    )
                    await events.append(connection, "app.created", tenant=app.tenant, app=app.id)
                    view = await self._view(connection, app.id, app.tenant)
                return CreatedView(view, deployment_view(deployment, slug=slug))
            except Duplicate as duplicate:
                if duplicate.constraint == "app_name":
                    raise Conflict(
                        f"You already have an app called {name}.",
                        hint="Choose another name.",
                        code="NAME_TAKEN",
                    ) from duplicate
        raise Unavailable("No free address could be found for the app.", hint="Try again.")

    async def change(self, owner: Owner, app: AppId, changes: dict[str, Any]) -> AppStateView:
        """Change name, branch or settings; takes effect with the next deploy or restart."""
        self._check_limits_of_one_app(owner, changes)
        changes = dict(changes)
        name, branch = changes.pop("name", None), changes.pop("branch", None)
        try:
            async with self._database.transaction() as connection:
                await apps.lock_tenant(connection, owner.id)
                row = await lock_app(connection, app, owner.id)
                settings = _chosen(row.settings, changes)
                if not _OF_QUOTA.isdisjoint(changes):
                    await self._check_quota(connection, owner, settings, apart_from=app)
                await apps.change(
                    connection,
                    app,
                    name=valid_name(name) if name is not None else row.name,
                    branch=valid_branch(branch) if branch is not None else row.branch,
                    settings=settings,
                )
                await events.append(
                    connection, "app.changed", tenant=row.tenant, app=app, data={"keys": sorted(changes)}
                )
                return await self._view(connection, app, owner.id)
        except Duplicate as duplicate:
            raise Conflict(f"You already have an app called {name}.", code="NAME_TAKEN") from duplicate

    async def stop(self, tenant: UserId | None, app_id: AppId) -> AppStateView:
        """Stop the app durably: its open deployments are cancelled, its release is kept for `start`."""
        async with self._database.transaction() as connection:
            app = await lock_app(connection, app_id, tenant)
            await stop_app(connection, app, Mover(self._leader.epoch, "api:stop"))
            return await self._view(connection, app_id, tenant)

    async def delete(self, tenant: UserId | None, app_id: AppId) -> None:
        """Delete the app: hide it at once, and have its route, containers, images, logs and files removed."""
        async with self._database.transaction() as connection:
            app = await lock_app(connection, app_id, tenant)
            await delete_app(connection, app, Mover(self._leader.epoch, "api:delete"))

    async def _view(self, connection: Connection, app: AppId, tenant: UserId | None) -> AppStateView:
        states = await apps.view(connection, tenant=tenant, app=app)
        if not states:
            raise NoSuchApp
        return app_view(self._settings, states[0])

    async def _free_slug(self, connection: Connection, owner: Owner, wanted: str) -> str:
        """Return the wanted slug, or another one made from it when it is taken, reserved or empty."""
        candidate = wanted or with_suffix("app", secrets.token_hex(_SUFFIX_BYTES))
        for _ in range(_SLUG_TRIES):
            host = f"{candidate}.{self._settings.public.base_domain}"
            reserved = candidate in self._settings.apps.reserved_slugs
            if not reserved and await apps.slug_is_free(connection, candidate, host, owner.id):
                return candidate
            candidate = with_suffix(wanted or "app", secrets.token_hex(_SUFFIX_BYTES))
        raise Unavailable("No free address could be found for the app.", hint="Try again.")

    async def _insert(
        self,
        connection: Connection,
        owner: Owner,
        name: str,
        slug: str,
        repository: str,
        branch: str,
        settings: AppSettings,
    ) -> App:
        if not await apps.lock_tenant(connection, owner.id):
            raise SignInRequired("This account no longer exists.", code="SESSION_ENDED")
        await require_still_paid(connection, owner.id)
        await self._check_quota(connection, owner, settings)
        await apps.give_slug(connection, slug, owner.id)
        seat = await apps.free_seat(connection)
        if seat >= seats_in(self._settings.network.subnet):
            raise Unavailable("This server has no room for another app.", hint="Ask its operator.")
        return await apps.insert(
            connection,
            tenant=owner.id,
            name=name,
            slug=slug,
            repository=repository,
            branch=branch,
            settings=settings,
            seat=seat,
        )

    def _check_limits_of_one_app(self, owner: Owner, changes: Mapping[str, Any]) -> None:
        check_machine_cores(changes.get("cpu"), os.cpu_count() or 1)
        _, plan = billing_plan(self._settings, owner.plan)
        most_mb = max(plan.max_build_memory_mb, self._settings.builds.memory_mb)
        check_build_memory(changes.get("build_memory_mb"), most_mb)

    async def _check_quota(
        self, connection: Connection, owner: Owner, settings: AppSettings, apart_from: AppId | None = None
    ) -> None:
        _, plan = billing_plan(self._settings, owner.plan)
        check_quota(
            await apps.reserved(connection, owner.id, apart_from=apart_from),
            Reservation(1, settings.memory_mb, settings.disk_mb, settings.cpu),
            max_apps=plan.max_apps,
            max_memory_mb=plan.max_ram_mb,
            max_disk_mb=plan.max_disk_mb,
            max_cpu=plan.max_cpu,
        )
        if apart_from is None:  # a new app is built
            await require_disk(connection, self._settings, owner.id, owner.plan)

    def _default_settings(self, owner: Owner) -> AppSettings:
        defaults = self._settings.apps
        plan = self._settings.plans.get(owner.plan)
        return AppSettings(
            memory_mb=defaults.default_memory_mb,
            disk_mb=defaults.default_disk_mb,
            cpu=defaults.default_cpu,
            auto_deploy=bool(plan and plan.auto_deploy),
        )


def _taken(slug: str | None, free: str) -> Conflict:
    return Conflict(
        f"The slug {slug} is taken or reserved.",
        hint=f"Choose another one: {free} is free.",
        code="SLUG_TAKEN",
        details={"field": "slug", "free": free},
    )


def _chosen(settings: AppSettings, changes: dict[str, Any]) -> AppSettings:
    return settings.changed(checked(changes, _RUNTIMES))
