"""Our own Traefik: a container from the packaged binary, not our child, that keeps serving while we are away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

import structlog

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.domain.ingress import IngressState
from stackyn_server.ingress import binary, request_counts
from stackyn_server.ingress.configuration_directory import ConfigurationDirectory
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.listeners import listening, one_more_on_each
from stackyn_server.ingress.publisher import Publisher, unwritable
from stackyn_server.ingress.route_file import RouteFileState
from stackyn_server.ingress.static_configuration import StaticConfiguration
from stackyn_server.ingress.steering import OURS, Steering

log = structlog.get_logger(__name__)

MOUNT = PurePosixPath("/etc/stackyn")


class Put(Protocol):
    async def __call__(
        self,
        image: str,
        *,
        config_dir: Path,
        arguments: Sequence[str],
        memory_mb: int,
        ready: Callable[[], Awaitable[None]],
    ) -> str: ...


class IngressEngine(Protocol):
    """What is needed of the container engine; implemented by `engine.ingress_container`.

    The container has host networking, a read-only root, no capability but NET_BIND_SERVICE, restart policy
    "unless-stopped" and log rotation. `config_dir` is mounted at `MOUNT` read-only, and its subdirectory `acme` inside
    it writable. `arguments` follow the binary, which is the image's entry point.

    **A running one is replaced side by side**: the new container is started under another name (their listeners share
    the ports), `ready()` is awaited, then the old one is stopped with SIGTERM and `GRACE_SECONDS` plus a margin, and
    removed. When `ready()` raises, the new one's last lines are logged, it is removed, the old one stays, and the
    error is passed on. (Stopping the old one first refused all connections for 10 s.)
    A crash in between leaves two: the next call keeps one that runs and removes the other.
    """

    async def ensure_ingress_image(self, binary: Path, digest: str) -> str:
        """Return the image that holds `binary` and nothing else; made once for each SHA-256 `digest` (hex)."""
        ...

    @property
    def ensure_ingress(self) -> Put:
        """Return the id of the running container. One with another image, arguments or limits is replaced; one that
        is equal and runs is left alone; one that is equal and does not run is started, and `ready` awaited."""
        ...

    @property
    def replace_ingress(self) -> Put:
        """Replace even an equal one; return the id of the new container."""
        ...

    async def ingress_state(self) -> IngressState | None:
        """Return what there is, None when there is no container."""
        ...


class TraefikIngress:
    def __init__(
        self,
        publisher: Publisher,
        engine: IngressEngine,
        configuration: StaticConfiguration,
        directory: ConfigurationDirectory,
    ) -> None:
        self._publisher = publisher
        self._engine = engine
        self._configuration = configuration
        self._directory = directory
        self._turn = asyncio.Lock()  # of whoever touches the container

    @property
    def entry_points(self) -> tuple[EntryPoint, ...]:
        return self._configuration.entry_points

    @property
    def can_hold(self) -> bool:
        return self._publisher.context.hold_port is not None

    async def requests(self) -> Mapping[AppId, int] | None:
        port = self._configuration.metrics_port
        return None if port is None else await request_counts.read(port)

    async def prepare(self) -> None:
        try:
            await asyncio.to_thread(self._directory.make)
        except OSError as error:
            raise unwritable(error) from error
        await self._take_certificate()
        await self._publisher.prepare()
        await self.ensure()
        await self._have_it_read()

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

    async def repair(self) -> RouteFileState:
        """Also takes a renewed certificate, and starts a container that is gone or stopped."""
        found = await self._publisher.repair()
        if await self._take_certificate():
            await self._publisher.publish()
        container = await self._engine.ingress_state()
        if container is None or not container.running:
            log.warning("ingress.repair", container=container.container if container else None)
            await self.ensure()
        if found is not RouteFileState.INTACT:
            await self._have_it_read()
        return found

    async def _have_it_read(self) -> None:
        """Confirm a fresh publication, with a new proxy if need be: one that was started while its file was missing
        never looks for it again (seen with 3.7.15)."""
        try:
            await self._publisher.apply({})
            return
        except NotConfirmed as error:
            log.warning("ingress.replace", complaint=error.complaint)
        await self.replace()
        try:
            await self._publisher.apply({})
        except NotConfirmed as error:
            lines = await self._last_lines()
            raise NotConfirmed(error.complaint, f"{error.failure.evidence}\n{lines}") from error

    async def _put(self, put: Put) -> None:
        settings = self._configuration.settings
        async with self._turn:
            await self._publisher.repair()
            image = settings.image or await self._engine.ensure_ingress_image(
                *await asyncio.to_thread(binary.locate, settings.binary)
            )
            existing = await self._engine.ingress_state()
            before = await asyncio.to_thread(listening, self._ports)
            steering = await self._steered(existing, before)
            await put(
                image,
                config_dir=self._directory.host,
                arguments=self._configuration.arguments(),
                memory_mb=settings.memory_mb,
                ready=partial(self._serves, before, steering, existing is not None and existing.running),
            )

    @property
    def _ports(self) -> list[int]:
        metrics = self._configuration.metrics_port
        return [point.port for point in self.entry_points] + ([] if metrics is None else [metrics])

    async def _steered(self, existing: IngressState | None, before: Counter[int]) -> Steering | None:
        """Have the running proxy keep its visitors until another one has its routes. None where that can't be had."""
        if existing is None or not existing.pid or max(before.values()) > 1:
            return None
        steering = Steering(existing.pid, frozenset(before))
        return steering if await _succeeds(steering.hold_to_old) else None

    async def _serves(self, before: Counter[int], steering: Steering | None, is_beside: bool) -> None:
        """Return when the new proxy listens, has its routes, and gets all new connections. Raises `NotConfirmed`."""
        await self._listens(before, is_beside)
        if steering is not None:
            await self._publisher.confirm(
                0, {}, source_address=OURS
            )  # the marker of any publication of this epoch
            await _succeeds(steering.turn_to_new)

    async def _listens(self, before: Counter[int], is_beside: bool) -> None:
        """Return when a proxy more than `before` listens on every entry point. Raises `NotConfirmed`."""
        try:
            async with asyncio.timeout(self._configuration.settings.confirm_seconds):
                await one_more_on_each(before)
        except TimeoutError as error:
            if is_beside:
                raise NotConfirmed(
                    "a new proxy was started beside the old one, but does not listen"
                ) from error
            raise NotConfirmed(
                "the proxy was started, but does not listen", await self._last_lines()
            ) from error

    async def _last_lines(self) -> str:
        state = await self._engine.ingress_state()
        return state.last_lines if state else "There is no ingress container."

    async def _take_certificate(self) -> bool:
        """Copy the operator's certificate in; return whether it is another than before."""
        settings, context = self._configuration.settings, self._publisher.context
        if not settings.certificate_file:
            return False
        try:
            pair = await asyncio.to_thread(
                self._directory.install_certificate, settings.certificate_file, settings.certificate_key_file
            )
        except OSError as error:
            raise unwritable(error) from error
        self._publisher.use_context(replace(context, certificate=pair))
        return pair != context.certificate


async def _succeeds(steer: Callable[[], None]) -> bool:
    try:
        await asyncio.to_thread(steer)
    except OSError as error:  # an old kernel, or a proxy that has ended: then the kernel spreads connections
        log.warning("ingress.unsteered", reason=str(error))
        return False
    return True
