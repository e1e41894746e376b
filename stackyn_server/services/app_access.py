"""An app or deployment, for those who may see it: `tenant` is its owner, or None for an administrator.

Everybody else gets `NotFound`, so that nothing tells whether it exists.
"""

from __future__ import annotations

from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.errors import NotFound
from stackyn_server.store import apps, deployments
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Deployment


class NoSuchApp(NotFound):
    """The published words: people and clients know them."""

    def __init__(self) -> None:
        super().__init__("App not found")


class NoSuchDeployment(NotFound):
    def __init__(self) -> None:
        super().__init__("Deployment not found")


async def find_app(connection: Connection, app_id: AppId, tenant: UserId | None) -> App:
    return _existing(await apps.of_tenant(connection, app_id, tenant))


async def lock_app(connection: Connection, app_id: AppId, tenant: UserId | None) -> App:
    """Like `find_app`, locked until the transaction ends: every change of an app begins with this."""
    return _existing(await apps.lock(connection, app_id, tenant))


async def find_deployment(
    connection: Connection, deployment_id: DeploymentId, tenant: UserId | None
) -> Deployment:
    deployment = await deployments.get_of_tenant(connection, deployment_id, tenant)
    if deployment is None:
        raise NoSuchDeployment
    return deployment


def _existing(app: App | None) -> App:
    if app is None:
        raise NoSuchApp
    return app
