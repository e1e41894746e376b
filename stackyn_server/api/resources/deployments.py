"""Deployments and releases."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.apps import Redeployed
from stackyn_server.api.wire.deployments import Deployment, Release, Rollback
from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.services.sessions import Caller


async def redeploy(services: Services, caller: Caller, app: AppId) -> Redeployed:
    """Build the branch again; deployments that still wait are superseded."""
    created = await services.deployments.redeploy(caller.id, caller.plan, app)
    return Redeployed.of("The deployment is queued.", created)


async def list_deployments(services: Services, caller: Caller, app: AppId) -> list[Deployment]:
    """Return the app's deployments, newest first, without their logs."""
    return [Deployment.of(view) for view in await services.deployments.list(caller.id, app)]


async def show(services: Services, caller: Caller, deployment: DeploymentId) -> Deployment:
    """Return one deployment."""
    return Deployment.of(await services.deployments.get(caller.id, deployment))


async def cancel(services: Services, caller: Caller, deployment: DeploymentId) -> Deployment:
    """End a deployment that is still under way; what serves goes on serving."""
    return Deployment.of(await services.deployments.cancel(caller.id, deployment))


async def list_releases(services: Services, caller: Caller, app: AppId) -> list[Release]:
    """Return the app's releases, newest first."""
    return [Release.from_view(view) for view in await services.deployments.releases(caller.id, app)]


async def rollback(services: Services, caller: Caller, app: AppId, body: Rollback) -> Redeployed:
    """Go back to an earlier release: same image, same environment, no build."""
    created = await services.deployments.rollback(caller.id, app, body.release)
    return Redeployed.of(f"The app goes back to release {body.release}.", created)
