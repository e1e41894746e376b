"""Start, inspect, stop and remove the containers of instances. Every verb is idempotent; an absent container is
success."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiodocker.containers import DockerContainer

from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.domain.ids import DeploymentId, InstanceId
from stackyn_server.engine import labels as keys
from stackyn_server.engine import logs
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec, creation_body
from stackyn_server.engine.container_state import ContainerState, ContainerSummary, parse_state, parse_summary
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable, InUse, translated
from stackyn_server.engine.labels import Role
from stackyn_server.engine.networks import ensure_app_bridge
from stackyn_server.engine.start_failures import start_failure

# A container that crashes in a loop can end while it is updated; the engine answers that with 500.
UPDATE_ATTEMPTS = 10


async def start(engine: Engine, spec: ContainerSpec) -> str:
    """Return the id of the running container of this instance. A container that already runs is kept.

    Raises `ImageMissing`, `DeploymentFailed` when the image can't be started as it is, `AddressTaken` and
    `EngineUnavailable`.
    """
    existing = await find(engine, spec.instance)
    if existing is not None:
        if existing.running:
            return existing.id
        await remove(engine, existing.id)
    container = await create(engine, spec)
    try:
        await start_created(engine, spec, container)
    except DeploymentFailed:
        await remove(engine, container)  # a container that couldn't start would keep the name and the slot
        raise
    return container


async def create(engine: Engine, spec: ContainerSpec) -> str:
    """Create a container without starting it, and return its id. Raises what `start` raises."""
    network = await ensure_app_bridge(engine, spec.bridge)
    try:
        name = engine.labels.sealed_name(spec.name)
        return await create_named(engine, creation_body(engine, spec, network), name)
    except (EngineRefused, EngineUnavailable) as error:
        raise start_failure(spec, error) from error


async def create_named(engine: Engine, body: Mapping[str, Any], name: str) -> str:
    """Create a container whose earlier one was removed, and return its id.

    Where another installation on this engine has the name, a spare name is used. Raises `EngineRefused`,
    `EngineUnavailable`.
    """
    try:
        created = await engine.ask(engine.docker.containers.create(body, name=name))
    except InUse:
        spare = engine.labels.spare_name(name)
        created = await engine.ask(engine.docker.containers.create(body, name=spare))
    return created.id


async def start_created(engine: Engine, spec: ContainerSpec, container: str) -> None:
    """Start a container that `create` made. Raises what `start` raises, and leaves the container."""
    try:
        await engine.ask(engine.docker.containers.container(container).start())
    except (EngineRefused, EngineUnavailable) as error:
        raise start_failure(spec, error) from error


async def inspect(engine: Engine, container: str) -> ContainerState | None:
    """Return the state of our container with this id or name. None when it is absent or not ours."""
    owned = await _owned(engine, container)
    return None if owned is None else parse_state(owned)


async def find(engine: Engine, instance: InstanceId) -> ContainerState | None:
    """Return the container of an instance, found by its label."""
    for listed in await list_ours(engine, {keys.INSTANCE: str(instance)}):
        return await inspect(engine, listed.id)
    return None


async def find_release_command(engine: Engine, deployment: DeploymentId) -> ContainerState | None:
    """Return the container of a deployment's release command."""
    for listed in await list_of_role(engine, Role.RELEASE_COMMAND, deployment):
        return await inspect(engine, listed.id)
    return None


async def list_ours(
    engine: Engine, matching: Mapping[str, str] | None = None, *, seconds: float | None = None
) -> list[ContainerSummary]:
    """Return all containers of this installation that have the labels `matching`, including stopped ones. `seconds` is
    the time limit where `[engine] request_seconds` does not fit."""
    filters = engine.labels.object_filter()
    filters["label"] += [f"{key}={value}" for key, value in (matching or {}).items()]
    parameters = {"all": "true", "filters": json.dumps(filters)}
    answer = await engine.request("GET", "containers/json", params=parameters, seconds=seconds)
    summaries = [parse_summary(entry) for entry in answer]
    return [summary for summary in summaries if engine.labels.owns_container(summary.name, summary.labels)]


async def list_of_role(
    engine: Engine, role: Role, deployment: DeploymentId | None = None
) -> list[ContainerSummary]:
    """Return the containers with this role, ended ones too; with `deployment`, those of its own."""
    matching = {keys.ROLE: role.value}
    if deployment is not None:
        matching[keys.DEPLOYMENT] = str(deployment)
    return await list_ours(engine, matching)


async def remove_of_role(engine: Engine, role: Role, deployment: DeploymentId) -> None:
    """Kill and remove a deployment's containers with this role."""
    for listed in await list_of_role(engine, role, deployment):
        await force_remove(engine, listed.id)


async def set_restart(engine: Engine, container: str, on: bool) -> None:
    """Switch the engine's restart policy of a container on or off."""
    owned = await _owned(engine, container)
    if owned is None:
        return
    policy = {"RestartPolicy": {"Name": "unless-stopped" if on else "no"}}
    for attempt in range(1, UPDATE_ATTEMPTS + 1):
        try:
            await engine.request_or_none("POST", f"containers/{owned['Id']}/update", body=policy)
            return
        except EngineUnavailable as error:
            if not error.was_answered or attempt == UPDATE_ATTEMPTS:
                raise


async def stop(engine: Engine, container: str, grace_seconds: float) -> None:
    """Send SIGTERM, and SIGKILL when it still runs after `grace_seconds`. Returns when it has stopped."""
    await _stop(engine, container, grace_seconds, DockerContainer.stop)


async def restart(engine: Engine, container: str, grace_seconds: float) -> None:
    """Stop a container as `stop` does and start it again with its writable layer. Absent: does nothing."""
    await _stop(engine, container, grace_seconds, DockerContainer.restart)


async def _stop(
    engine: Engine, container: str, grace_seconds: float, verb: Callable[..., Awaitable[object]]
) -> None:
    owned = await _owned(engine, container)
    if owned is None:
        return
    whole_seconds = max(0, round(grace_seconds))
    with translated():
        async with asyncio.timeout(whole_seconds + engine.settings.request_seconds):
            handle = engine.docker.containers.container(owned["Id"])
            await engine.ask_or_none(verb(handle, t=whole_seconds))


async def remove(engine: Engine, container: str) -> None:
    """Kill and remove the container with its anonymous volumes."""
    owned = await _owned(engine, container)
    if owned is not None:
        await force_remove(engine, owned["Id"])


async def force_remove(engine: Engine, container: str) -> None:
    """Remove a container that the caller knows to be ours. Waits when its removal is already in progress."""
    handle = engine.docker.containers.container(container)
    with translated():
        async with asyncio.timeout(engine.settings.request_seconds):
            try:
                await engine.ask_or_none(handle.delete(force=True, v=True))
            except InUse:
                await engine.ask_or_none(handle.wait(condition="removed"))


async def last_lines(engine: Engine, container: str, lines: int = 50, *, longest: int | None = None) -> str:
    """Return the last lines of both outputs in written order, each cut to `longest` characters. "" when absent."""
    owned = await _owned(engine, container)
    if owned is None:
        return ""
    log_lines = logs.read(engine, owned["Id"], tail=lines)
    return "\n".join([line.text[:longest] async for line in log_lines])


async def _owned(engine: Engine, container: str) -> dict[str, Any] | None:
    container_json = await engine.ask_or_none(engine.docker.containers.container(container).show())
    if container_json is None:
        return None
    name = str(container_json["Name"]).removeprefix("/")
    return (
        container_json
        if engine.labels.owns_container(name, container_json["Config"].get("Labels") or {})
        else None
    )
