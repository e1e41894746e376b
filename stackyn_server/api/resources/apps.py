"""Apps: create, look, change, stop, start, restart, delete."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.apps import AppChange, AppView, Created, Deleted, NewApp, Redeployed
from stackyn_server.domain.ids import AppId
from stackyn_server.services.apps import AppRequest
from stackyn_server.services.sessions import Caller


async def list_apps(services: Services, caller: Caller) -> list[AppView]:
    """Return the caller's apps, newest first."""
    return [AppView.of(view) for view in await services.apps.list(caller.id, app=caller.app)]


async def create(services: Services, caller: Caller, body: NewApp) -> Created:
    """Create an app and queue its first deployment; both are durable in the answer."""
    request = AppRequest(
        name=body.name,
        repository=body.repo_url,
        slug=body.slug or "",
        branch=body.branch or "",
        variables=tuple((variable.key, variable.value) for variable in body.env_vars or ()),
        settings=body.chosen_settings(),
    )
    return Created.of(await services.apps.create(caller, request))


async def show(services: Services, caller: Caller, app: AppId) -> AppView:
    """Return one app."""
    return AppView.of(await services.apps.get(caller.id, app))


async def change(services: Services, caller: Caller, app: AppId, body: AppChange) -> AppView:
    """Change name, branch or settings; takes effect with the next deploy or restart."""
    return AppView.of(await services.apps.change(caller, app, body.changes()))


async def delete(services: Services, caller: Caller, app: AppId) -> Deleted:
    """Delete an app: invisible at once, everything of it is removed for certain."""
    await services.apps.delete(caller.id, app)
    return Deleted(app_id=app, message="The app is deleted.")


async def stop(services: Services, caller: Caller, app: AppId) -> AppView:
    """Stop an app; its release is kept for a start."""
    return AppView.of(await services.apps.stop(caller.id, app))


async def start(services: Services, caller: Caller, app: AppId) -> AppView:
    """Run the release of a stopped app again, without a build."""
    await services.deployments.start(caller.id, app)
    return AppView.of(await services.apps.get(caller.id, app))


async def restart(services: Services, caller: Caller, app: AppId) -> Redeployed:
    """Run the current release again with today's variables and settings."""
    return Redeployed.of("The app restarts.", await services.deployments.restart(caller.id, app))
