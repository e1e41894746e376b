"""The proxy's container: host networking, nothing writable but its certificates. It goes on while this server is away.

Implements the protocol `ingress.traefik.IngressEngine`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

import structlog

from stackyn_server.domain.ingress import MOUNT, IngressSpec, IngressState, ProxyReady
from stackyn_server.engine import containers, images
from stackyn_server.engine import labels as keys
from stackyn_server.engine.binary_image import BinaryChanged, binary_as_tar
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import ContainerState
from stackyn_server.engine.errors import Absent, EngineRefused, EngineUnavailable
from stackyn_server.engine.hardening import ContainerLimits, host_config
from stackyn_server.errors import StackynError

log = structlog.get_logger(__name__)

WRITABLE = "acme"  # below the configuration directory: where the proxy keeps its certificates
STOP_SECONDS = 15.0  # the proxy accepts for 1 s and gives open requests 10 s
MAX_PROCESSES = 4096  # threads of a Go program under load
_LAST_LINES = 30


class IngressUnusable(StackynError):
    """The proxy can't be started as configured; `message` says why, for the operator."""

    code = "INGRESS_UNUSABLE"


class IngressContainer:
    """`cpu` is in cores."""

    def __init__(self, engine: Engine, *, cpu: float | None = None) -> None:
        self._engine = engine
        self._cpu = cpu

    async def ensure_ingress_image(self, binary: Path, digest: str) -> str:
        """Return the image that holds only `binary`, made once for each SHA-256 `digest` (hexadecimal). Every user may
        listen on any port with it.

        Raises `IngressUnusable` when the file has another digest, `EngineUnavailable`.
        """
        name = f"{images.REPOSITORY}ingress:{digest[:12]}-ports-{self._engine.labels.short}"
        existing = await images.inspect(self._engine, name)
        if existing is not None and self._engine.labels.owns_image(existing.labels):
            return name
        repository, _, version = name.rpartition(":")
        changes = [f"ENTRYPOINT {json.dumps([f'/{binary.name}'])}"]
        changes += [f"LABEL {key}={value}" for key, value in self._engine.labels.ingress_image().items()]
        parameters = [("fromSrc", "-"), ("repo", repository), ("tag", version)]
        parameters += [("changes", change) for change in changes]
        try:
            async with self._engine.stream(
                "POST",
                "images/create",
                params=parameters,
                upload=binary_as_tar(binary, digest),
                silence_seconds=self._engine.settings.transfer_silence_seconds,
            ) as stream:
                async for record in stream.json_lines():
                    if "error" in record:
                        raise EngineUnavailable(str(record["error"]))
        except BinaryChanged as error:
            raise IngressUnusable(
                f"The proxy binary {binary} isn't the one that was checked.", hint="Start the server again."
            ) from error
        if await images.inspect(self._engine, name) is None:
            raise EngineUnavailable("the import ended without an image")
        return name

    async def ensure_ingress(self, spec: IngressSpec, ready: ProxyReady) -> str:
        """Return the id of the running container. Replace it if its specification differs; start it and await `ready`
        if it is stopped.

        Raises `IngressUnusable`, `EngineUnavailable`, and what `ready` raises.
        """
        body = await self._create_body(spec)
        existing = await self._find()
        if existing is None or existing.labels.get(keys.WANTED) != body["Labels"][keys.WANTED]:
            return await self._replace(existing, body, ready)
        if not (existing.running or existing.restarting):
            await self._start(existing.id)
            await ready()
        for leftover in await self._all():  # of a replacement whose server was killed
            if leftover.id != existing.id:
                await self._end(leftover)
        return existing.id

    async def replace_ingress(self, spec: IngressSpec, ready: ProxyReady) -> str:
        """Replace the running container, which may finish its requests. If the new one can't start or doesn't become
        ready, the old one stays. Raises what `ensure_ingress` raises."""
        return await self._replace(await self._find(), await self._create_body(spec), ready)

    async def ingress_state(self) -> IngressState | None:
        """Return the state of the proxy's container, None when there is none."""
        container = await self._find()
        if container is None:
            return None
        lines = await containers.last_lines(self._engine, container.id, _LAST_LINES)
        return IngressState(container.id, container.running, container.image, container.pid, lines)

    async def ingress_processes(self) -> list[int]:
        """Return the first process of each running proxy of this installation: two during a replacement."""
        return [container.pid for container in await self._all() if container.pid]

    async def name_of_container(self, container: str) -> str:
        """Return the name of any container of this machine's engine, "" when it knows none with this id."""
        if not container:
            return ""
        found = await self._engine.request_or_none("GET", f"containers/{container}/json")
        return "" if found is None else str(found.get("Name", "")).removeprefix("/")

    async def _find(self) -> ContainerState | None:
        """Return the running container of the two that an interrupted replacement can leave."""
        return max(await self._all(), key=lambda container: container.running, default=None)

    async def _all(self) -> list[ContainerState]:
        listed = await containers.list_ours(self._engine, {keys.ROLE: keys.Role.INGRESS})
        states = [await containers.inspect(self._engine, container.id) for container in listed]
        return [state for state in states if state is not None]

    async def _replace(self, existing: ContainerState | None, body: dict[str, Any], ready: ProxyReady) -> str:
        """Both containers listen on the same ports, so the old one stops only when the new one is ready."""
        for leftover in await self._all():
            if existing is None or leftover.id != existing.id:
                await containers.remove(self._engine, leftover.id)
        new = await self._create(body, following=existing)
        try:
            await self._start(new)
            await ready()
        except BaseException:
            await self._remove_failed(new)
            raise
        if existing is not None:
            await self._end(existing)
        return new

    async def _end(self, container: ContainerState) -> None:
        """Have a proxy finish its requests, and remove it."""
        await containers.set_restart(self._engine, container.id, on=False)
        await containers.stop(self._engine, container.id, STOP_SECONDS)
        await containers.remove(self._engine, container.id)

    async def _remove_failed(self, container: str) -> None:
        try:
            lines = await containers.last_lines(self._engine, container, _LAST_LINES)
            log.warning("ingress.not_ready", container=container, last_lines=lines)
        finally:
            await containers.remove(self._engine, container)

    async def _create(self, body: dict[str, Any], *, following: ContainerState | None) -> str:
        """Create a container under the one of two names that is free, so that both can exist side by side."""
        names = [self._engine.labels.ingress_name, f"{self._engine.labels.ingress_name}-b"]
        name = next(name for name in names if following is None or name != following.name)
        try:
            created = await self._engine.ask(self._engine.docker.containers.create(body, name=name))
        except Absent as error:
            raise IngressUnusable(
                f"The image {body['Image']} of the proxy isn't on this server.",
                hint="Pull it, or correct [ingress] image.",
            ) from error
        return str(created.id)

    async def _start(self, container: str) -> None:
        try:
            await self._engine.ask(self._engine.docker.containers.container(container).start())
        except (EngineRefused, EngineUnavailable) as error:
            if not error.was_answered:
                raise
            raise IngressUnusable(
                f"The proxy can't be started: {error.reason}", hint="Correct [ingress] in config.toml."
            ) from error

    async def _create_body(self, spec: IngressSpec) -> dict[str, Any]:
        """Return the body of the engine's request, with the digest of all of it as a label."""
        await asyncio.to_thread(_check_directories, spec.config_dir)
        cpu = self._cpu or float(self._engine.facts.processors)
        limits = host_config(
            ContainerLimits(spec.memory_mb, cpu, MAX_PROCESSES),
            capabilities=("NET_BIND_SERVICE",),
            read_only=True,
        )
        if spec.uid is not None:
            # The program's file holds the one capability for a user other than root. The image has no other program.
            limits["SecurityOpt"] = ["no-new-privileges:false"]  # also where the engine's default is true
        body: dict[str, Any] = {
            "Image": spec.image,
            "Cmd": list(spec.arguments),
            "User": "" if spec.uid is None else f"{spec.uid}:{spec.uid}",
            "WorkingDir": str(MOUNT),  # where the proxy looks for its plugins
            "Env": [],
            "HostConfig": limits
            | {
                "NetworkMode": "host",
                "RestartPolicy": {"Name": "unless-stopped"},
                "Mounts": [
                    _mount(spec.config_dir, MOUNT, read_only=True),
                    _mount(spec.config_dir / WRITABLE, MOUNT / WRITABLE, read_only=False),
                ],
            },
        }
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        return body | {"Labels": self._engine.labels.ingress_container(digest)}


def _mount(source: Path, target: PurePosixPath, *, read_only: bool) -> dict[str, Any]:
    """Return a bind mount in the newer form, which refuses a missing source. The older form makes a directory."""
    return {"Type": "bind", "Source": str(source), "Target": str(target), "ReadOnly": read_only}


def _check_directories(config_dir: Path) -> None:
    for directory in (config_dir, config_dir / WRITABLE):
        if not directory.is_dir():
            raise IngressUnusable(
                f"The proxy's directory {directory} is missing.", hint="Start the server again."
            )
