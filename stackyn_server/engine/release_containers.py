"""Containers of release commands: at most one for each deployment, found by its label."""

from __future__ import annotations

from stackyn_server.domain.ids import DeploymentId
from stackyn_server.engine import containers
from stackyn_server.engine import labels as keys
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import ContainerState, ContainerSummary
from stackyn_server.engine.labels import Role


async def list_all(engine: Engine) -> list[ContainerSummary]:
    """Return the containers of this installation's release commands, including ended ones."""
    return await containers.list_ours(engine, {keys.ROLE: Role.RELEASE})


async def find(engine: Engine, deployment: DeploymentId) -> ContainerState | None:
    for listed in await _of(engine, deployment):
        return await containers.inspect(engine, listed.id)
    return None


async def remove_of(engine: Engine, deployment: DeploymentId) -> None:
    """Kill and remove the containers of a deployment's release command."""
    for listed in await _of(engine, deployment):
        await containers.force_remove(engine, listed.id)


async def _of(engine: Engine, deployment: DeploymentId) -> list[ContainerSummary]:
    return await containers.list_ours(engine, {keys.ROLE: Role.RELEASE, keys.DEPLOYMENT: str(deployment)})
