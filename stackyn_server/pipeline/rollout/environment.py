"""The environment that a container gets: the app's variables as they are when it starts, sealed into the release."""

from __future__ import annotations

import json

from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.security.sealing import Sealer
from stackyn_server.security.variables import open_variable
from stackyn_server.store import variables
from stackyn_server.store.database import Connection


def environment_context(tenant: UserId, app: AppId, deployment: DeploymentId) -> str:
    """Return what the environment of a release is sealed for."""
    return f"{tenant}|{app}|release of {deployment}"


def seal(
    sealer: Sealer, tenant: UserId, app: AppId, deployment: DeploymentId, environment: dict[str, str]
) -> bytes:
    return sealer.seal(environment_context(tenant, app, deployment), json.dumps(environment).encode())


def unseal(
    sealer: Sealer, tenant: UserId, app: AppId, deployment: DeploymentId, sealed: bytes
) -> dict[str, str]:
    """Open an environment that `seal` sealed for the same tenant, app and deployment."""
    opened: dict[str, str] = json.loads(sealer.open(environment_context(tenant, app, deployment), sealed))
    return opened


async def snapshot(connection: Connection, sealer: Sealer, tenant: UserId, app: AppId) -> dict[str, str]:
    """Return the app's variables as they are now."""
    return {
        row.key: open_variable(sealer, tenant, app, row.key, row.sealed)
        for row in await variables.list_of_app(connection, app)
    }
