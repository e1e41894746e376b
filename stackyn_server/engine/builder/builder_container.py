"""The container of one build: its limits and rights, and how it is paused."""

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
from stackyn_server.engine.builder.caches import Cache
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable
from stackyn_server.engine.hardening import ContainerLimits, host_config
from stackyn_server.engine.labels import Role

PROGRAM = "/usr/local/bin/build"
HOME = "/var/lib/build"  # where the cache volume is mounted
BASE_IMAGES = "/oci"
# newuidmap and newgidmap need these to map the ids of the build's user namespace.
CAPABILITIES = ("SETUID", "SETGID")
_SCRATCH = {"/tmp": "64m", "/run": "16m"}


# The engine's default profile plus the system calls of rootless BuildKit, in one line, as the engine expects it.
_SECCOMP = json.dumps(
    json.loads(resources.files("stackyn_server.engine.builder").joinpath("seccomp.json").read_text("utf-8")),
    separators=(",", ":"),
)


@dataclass(frozen=True, slots=True)
class BuilderSpec:
    """`base_images` is the folder that is mounted at `/oci`, None without one."""

    app: AppId | None
    deployment: DeploymentId
    tenant: UserId
    image: str
    network: str
    cache: Cache
    base_images: Path | None
    limits: ContainerLimits
    environment: Mapping[str, str] = field(default_factory=dict)


async def create(engine: Engine, spec: BuilderSpec) -> str:
    """Create the container and return its id. One that is left of the same deployment is removed."""
    await containers.remove_of_role(engine, Role.BUILDER, spec.deployment)
    name = keys.builder_name(spec.deployment)
    return await containers.create_named(engine, creation_body(engine, spec), name)


@asynccontextmanager
async def paused(engine: Engine, deployment: DeploymentId) -> AsyncIterator[None]:
    """Pause a deployment's builder until the block is left, unless it has ended or the engine can't pause it."""
    await _ask_builders(engine, deployment, "pause")
    try:
        yield
    finally:
        await asyncio.shield(_ask_builders(engine, deployment, "unpause"))


async def _ask_builders(engine: Engine, deployment: DeploymentId, verb: str) -> None:
    with suppress(EngineUnavailable, EngineRefused):
        for listed in await containers.list_of_role(engine, Role.BUILDER, deployment):
            await engine.request_or_none("POST", f"containers/{listed.id}/{verb}")


def creation_body(engine: Engine, spec: BuilderSpec) -> dict[str, Any]:
    user = spec.cache.user
    # Otherwise the engine gives an empty volume to the image's user.
    options = {"VolumeOptions": {"NoCopy": True}}
    mounts: list[dict[str, Any]] = [
        {"Type": "volume", "Source": spec.cache.name, "Target": HOME, **options},
        *(_bind(spec.cache.names / Path(path).name, path) for path in user.files),
    ]
    if spec.base_images is not None:
        mounts.append(_bind(spec.base_images, BASE_IMAGES))
    # The build's user owns them: runc ignores a given mode and uses the mode of the folder below the mount.
    scratch = {path: f"uid={user.uid},gid={user.uid},size={size}" for path, size in _SCRATCH.items()}
    return {
        "Image": spec.image,
        "Entrypoint": [PROGRAM],
        "Cmd": [],
        "User": f"{user.uid}:{user.uid}",
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
            "Tmpfs": scratch,
            "NetworkMode": spec.network,
        },
    }


def _bind(source: Path, target: str) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": True}
