"""The request for one build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.engine.hardening import ContainerLimits


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """`dockerfile` is a path in the context, `target` a stage or None for the last one, `syntax` the frontend that the
    Dockerfile names in `# syntax=`, "" without one. `network` is one of `networks.ensure_build_network`, `tag` one of
    `images.tag_of`. `secrets` by their id, for `RUN --mount=type=secret`; `docker_config` is a `config.json` of Docker
    with the credentials of registries, "" without any. `hostname` is the host name of every step, "" for the builder's
    own. It is part of a step's cache key; the secrets are not. Units: MiB, cores, processes and threads.
    """

    app: AppId
    deployment: DeploymentId
    tenant: UserId
    dockerfile: str
    network: str
    memory_mb: int
    cpu: float
    max_processes: int
    tag: str
    target: str | None = None
    syntax: str = ""
    build_arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    docker_config: str = field(default="", repr=False)
    hostname: str = ""
    no_cache: bool = False

    @property
    def limits(self) -> ContainerLimits:
        return ContainerLimits(self.memory_mb, self.cpu, self.max_processes)
