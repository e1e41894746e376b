"""The container of one build: its limits and rights, and how to find it by its labels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.engine import containers
from stackyn_server.engine import labels as keys
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import ContainerSummary
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable, InUse
from stackyn_server.engine.hardening import ContainerLimits, host_config
from stackyn_server.engine.labels import Role

PROGRAM = "/usr/local/bin/build"
HOME = "/var/lib/build"  # where the cache volume is mounted
BASE_IMAGES = "/oci"
USER = "1001:1001"
# newuidmap and newgidmap need these to map the ids of the build's user namespace.
CAPABILITIES = ("SETUID", "SETGID")
# The build's user owns them: runc ignores a given mode and uses the mode of the folder below the mount.
_SCRATCH = {"/tmp": "uid=1001,gid=1001,size=64m", "/run": "uid=1001,gid=1001,size=16m"}


# The engine's default profile plus the system calls of rootless BuildKit, in one line, as the engine expects it.
_SECCOMP = json.dumps(
    json.loads(resources.files("stackyn_server.engine.builder").joinpath("seccomp.json").read_text("utf-8")),
    separators=(",", ":"),
)


@dataclass(frozen=True, slots=True)
class BuilderSpec:
    """`volume` is the name of the cache, `base_images` the folder that is mounted at `/oci`, None without one."""

    app: AppId | None
    deployment: DeploymentId
    tenant: UserId
    image: str
    network: str
    volume: str
    base_images: Path | None
    limits: ContainerLimits
    environment: Mapping[str, str] = field(default_factory=dict)


async def create(engine: Engine, spec: BuilderSpec) -> str:
    """Create the container and return its id. One that is left of the same deployment is removed."""
    name = keys.builder_name(spec.deployment)
    body = creation_body(engine, spec)
    try:
        created = await engine.ask(engine.docker.containers.create(body, name=name))
    except InUse:
        await remove_of(engine, spec.deployment)
        try:
            created = await engine.ask(engine.docker.containers.create(body, name=name))
        except InUse:  # another installation has the name
            spare = engine.labels.spare_name(name)
            created = await engine.ask(engine.docker.containers.create(body, name=spare))
    return created.id


async def list_all(engine: Engine) -> list[ContainerSummary]:
    """Return the builder containers of this installation, ended ones too."""
    return await containers.list_ours(engine, {keys.ROLE: Role.BUILDER})


async def remove_of(engine: Engine, deployment: DeploymentId) -> None:
    """Kill and remove the builder containers of a deployment, if there are any."""
    matching = {keys.ROLE: Role.BUILDER, keys.DEPLOYMENT: str(deployment)}
    for listed in await containers.list_ours(engine, matching):
        await containers.force_remove(engine, listed.id)


@asynccontextmanager
async def paused(engine: Engine, deployment: DeploymentId) -> AsyncIterator[None]:
    """Pause a deployment's builder until the block is left, unless it has ended or the engine can't pause it."""
    matching = {keys.ROLE: Role.BUILDER, keys.DEPLOYMENT: str(deployment)}
    with suppress(EngineUnavailable, EngineRefused):
        for listed in await containers.list_ours(engine, matching):
            await engine.request_or_none("POST", f"containers/{listed.id}/pause")
    try:
        yield
    finally:
        await asyncio.shield(_unpause(engine, matching))


async def _unpause(engine: Engine, matching: Mapping[str, str]) -> None:
    with suppress(EngineUnavailable, EngineRefused):
        for listed in await containers.list_ours(engine, matching):
            await engine.request_or_none("POST", f"containers/{listed.id}/unpause")


def creation_body(engine: Engine, spec: BuilderSpec) -> dict[str, Any]:
    mounts = [{"Type": "volume", "Source": spec.volume, "Target": HOME}]
    if spec.base_images is not None:
        mounts.append(_read_only(spec.base_images))
    return {
        "Image": spec.image,
        "Entrypoint": [PROGRAM],
        "Cmd": [],
        "User": USER,
        "Env": [f"{key}={value}" for key, value in spec.environment.items()],
        "WorkingDir": HOME,
        "OpenStdin": True,
        "StdinOnce": True,  # the input ends with our connection, also when this server is killed
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": engine.labels.builder_container(
            tenant=spec.tenant, app=spec.app, deployment=spec.deployment
        ),
        "HostConfig": {
            **host_config(spec.limits, capabilities=CAPABILITIES, read_only=True),
            # No `no-new-privileges`: newuidmap gets its capability from its file. With the masks over /proc and /sys, a
            # step could not mount a /proc of its own, and so could have no process namespace of its own.
            "SecurityOpt": [f"seccomp={_SECCOMP}", "apparmor=unconfined"],
            "MaskedPaths": [],
            "ReadonlyPaths": [],
            "LogConfig": {"Type": "none", "Config": {}},  # the engine would write down every byte
            "Mounts": mounts,
            "Tmpfs": _SCRATCH,
            "NetworkMode": spec.network,
        },
    }


def _read_only(folder: Path) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(folder), "Target": BASE_IMAGES, "ReadOnly": True}
