"""The specification of an app's container, and the request that creates it in the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any

from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId, ReleaseId, UserId
from stackyn_server.domain.seats import Bridge
from stackyn_server.domain.start_command import foreground
from stackyn_server.engine import labels as keys
from stackyn_server.engine.client import Engine
from stackyn_server.engine.hardening import ContainerLimits, host_config
from stackyn_server.engine.labels import Role


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """`image` is an id or tag; `command` is a shell command, None for the image's own. Units are MiB, cores, and
    processes with their threads. `capabilities` are the kernel's names without CAP_. A container with the role
    `release` belongs to the deployment, and uses the address of the instance."""

    instance: InstanceId
    app: AppId
    tenant: UserId
    deployment: DeploymentId | None
    release: ReleaseId
    image: str
    bridge: Bridge
    address: IPv4Address
    environment: Mapping[str, str]
    command: str | None
    memory_mb: int
    cpu: float
    max_processes: int
    capabilities: tuple[str, ...]
    port: int
    role: Role = Role.APP

    @property
    def name(self) -> str:
        if self.role is Role.RELEASE_COMMAND and self.deployment is not None:
            return keys.release_name(self.deployment)
        return keys.container_name(self.instance)

    @property
    def limits(self) -> ContainerLimits:
        return ContainerLimits(self.memory_mb, self.cpu, self.max_processes)


def creation_body(engine: Engine, spec: ContainerSpec, network: str) -> dict[str, Any]:
    # The engine refuses more cores than it has: an app may come from a larger machine.
    limits = replace(spec.limits, cpu=min(spec.cpu, engine.facts.processors))
    body: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{key}={value}" for key, value in spec.environment.items()],
        "Labels": engine.labels.app_container(
            tenant=spec.tenant,
            app=spec.app,
            deployment=spec.deployment,
            release=spec.release,
            instance=spec.instance if spec.role is Role.APP else None,
            role=spec.role,
        ),
        "ExposedPorts": {f"{spec.port}/tcp": {}},
        # The server probes: an image's own check would run within the app's limits.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            **host_config(limits, capabilities=spec.capabilities),
            "NetworkMode": network,
        },
        "NetworkingConfig": {
            "EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": str(spec.address)}}},
        },
    }
    if spec.command is not None:
        body |= {"Entrypoint": ["/bin/sh"], "Cmd": ["-c", foreground(spec.command)]}
    return body
