"""Our own Traefik: a container from the packaged binary, not our child, that keeps serving while we are away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

import structlog

from stackyn_server.domain.ids import InstanceId
from stackyn_server.ingress import binary, static
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.directory import Directory
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.files import FileState
from stackyn_server.ingress.publisher import Publisher

log = structlog.get_logger(__name__)

MOUNT = PurePosixPath("/etc/stackyn")


@dataclass(frozen=True, slots=True)
class IngressState:
    """`last_lines` are of its own log, for the operator."""

    container: str
    running: bool
    image: str
    last_lines: str = ""


class Put(Protocol):
    async def __call__(
        self, image: str, *, config_dir: Path, arguments: Sequence[str], memory_mb: int
    ) -> str: ...


class IngressEngine(Protocol):
    """What is needed of the container engine; implemented by `engine.ingress_container`.

    The container has host networking, a read-only root, no capability but NET_BIND_SERVICE, restart policy
    "unless-stopped" and log rotation. `config_dir` is mounted at `MOUNT` read-only, and its subdirectory `acme` inside
    it writable. `arguments` follow the binary, which is the image's entry point. All calls are idempotent.
    """

    async def ensure_ingress_image(self, binary: Path, digest: str) -> str:
        """Return the image that holds `binary` and nothing else; made once for each SHA-256 `digest` (hex)."""
        ...

    async def ensure_ingress(
        self, image: str, *, config_dir: Path, arguments: Sequence[str], memory_mb: int
    ) -> str:
        """Return the id of the running container. One with another image, arguments or limits is replaced; one that
        is equal and runs is left alone; one that is equal and does not run is started."""
        ...

    async def replace_ingress(
        self, image: str, *, config_dir: Path, arguments: Sequence[str], memory_mb: int
    ) -> str:
        """Stop the running one with `static.GRACE_SECONDS` and a margin, remove it, and start a new one."""
        ...

    async def ingress_state(self) -> IngressState | None:
        """Return what there is, None when there is no container."""
        ...


class TraefikIngress:
    def __init__(
        self, publisher: Publisher, engine: IngressEngine, configuration: static.Static, directory: Directory
    ) -> None:
        self._publisher = publisher
        self._engine = engine
        self._configuration = configuration
        self._directory = directory
        self._turn = asyncio.Lock()  # of whoever touches the container

    @property
    def entry_points(self) -> tuple[EntryPoint, ...]:
        return self._configuration.entry_points

    async def prepare(self) -> None:
        await asyncio.to_thread(self._directory.make)
        await self._take_certificate()
        number = await self._publisher.prepare()
        await self.ensure()
        try:
            await self._publisher.confirm(number, {})
        except NotConfirmed as error:
            state = await self._engine.ingress_state()
            lines = state.last_lines if state else "There is no ingress container."
            raise NotConfirmed(error.complaint, f"{error.failure.evidence}\n{lines}") from error

    async def ensure(self) -> None:
        """Have the container running with this configuration. The route file is looked at, and put right, before."""
        await self._put(self._engine.ensure_ingress)

    async def replace(self) -> None:
        await self._put(self._engine.replace_ingress)

    async def publish(self) -> int:
        return await self._publisher.publish()

    async def confirm(self, number: int, changed: Mapping[str, InstanceId | None]) -> None:
        await self._publisher.confirm(number, changed)

    async def apply(self, changed: Mapping[str, InstanceId | None]) -> int:
        return await self._publisher.apply(changed)

    async def repair(self) -> FileState:
        """Also takes a renewed certificate, and starts a container that is gone or stopped."""
        found = await self._publisher.repair()
        if await self._take_certificate():
            await self._publisher.publish()
        container = await self._engine.ingress_state()
        if container is None or not container.running:
            log.warning("ingress.repair", container=container.container if container else None)
            await self.ensure()
        return found

    async def _put(self, put: Put) -> None:
        settings = self._configuration.settings
        async with self._turn:
            await self._publisher.repair()
            image = settings.image or await self._engine.ensure_ingress_image(
                *await asyncio.to_thread(binary.locate, settings.binary)
            )
            await put(
                image,
                config_dir=self._directory.host,
                arguments=static.arguments(self._configuration),
                memory_mb=settings.memory_mb,
            )

    async def _take_certificate(self) -> bool:
        """Copy the operator's certificate in; return whether it is another than before."""
        settings, frame = self._configuration.settings, self._publisher.frame
        if not settings.certificate_file:
            return False
        pair = await asyncio.to_thread(
            self._directory.install_certificate, settings.certificate_file, settings.certificate_key_file
        )
        self._publisher.reframe(replace(frame, certificate=pair))
        return pair != frame.certificate
