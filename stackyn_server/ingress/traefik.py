"""Our own Traefik: a container made from the packaged binary. It is not our child and serves on without this server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from stackyn_server.domain.ids import AppId
from stackyn_server.domain.ingress import IngressSpec, IngressState, ProxyReady
from stackyn_server.ingress import binary, request_counts
from stackyn_server.ingress.configuration_directory import ConfigurationDirectory
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.driver import Ingress
from stackyn_server.ingress.listeners import listener_counts, wait_for_second_listeners
from stackyn_server.ingress.other_listeners import other_listeners, port_shared
from stackyn_server.ingress.publisher import Publisher, unwritable
from stackyn_server.ingress.reuseport import CHECK_ADDRESS, ReuseportGroup
from stackyn_server.ingress.route_file import RouteFileState
from stackyn_server.ingress.static_configuration import StaticConfiguration

log = structlog.get_logger(__name__)


class IngressEngine(Protocol):
    """The container engine's part; implemented by `engine.ingress_container`.

    The container has host networking, a read-only root, no capability but NET_BIND_SERVICE, restart policy
    "unless-stopped" and log rotation.

    **A running container is replaced side by side**: the engine starts the new one under another name (both listen on
    the same ports), awaits `ready()`, stops the old one with SIGTERM and removes it. If `ready()` raises, the engine
    logs the last lines of the new container, removes it, keeps the old one and passes the error on. (Stopping the old
    one first refused all connections for 10 s.) A crash in between leaves two: the next call keeps a running one.
    """

    async def ensure_ingress_image(self, binary: Path, digest: str) -> str:
        """Return the image that holds only `binary`; made once for each SHA-256 `digest` (hexadecimal)."""
        ...

    async def ensure_ingress(self, spec: IngressSpec, ready: ProxyReady) -> str:
        """Return the id of the running container. Replace it if its specification differs; start it and await `ready`
        if it is stopped."""
        ...

    async def replace_ingress(self, spec: IngressSpec, ready: ProxyReady) -> str:
        """Replace the container even if its specification is equal; return the id of the new one."""
        ...

    async def ingress_state(self) -> IngressState | None:
        """Return the container's state, None without a container."""
        ...

    async def ingress_processes(self) -> list[int]:
        """Return the first process of each running proxy of this installation: two during a replacement."""
        ...

    async def name_of_container(self, container: str) -> str:
        """Return the name of any container of this machine's engine, "" when it knows none with this id."""
        ...


class TraefikIngress(Ingress):
    def __init__(
        self,
        publisher: Publisher,
        engine: IngressEngine,
        configuration: StaticConfiguration,
        directory: ConfigurationDirectory,
    ) -> None:
        super().__init__(publisher)
        self._engine = engine
        self._configuration = configuration
        self._directory = directory
        self._container_lock = asyncio.Lock()

    @property
    def uid(self) -> int | None:
        return self._directory.uid

    async def requests(self) -> Mapping[AppId, int] | None:
        port = self._configuration.metrics_port
        return None if port is None else await request_counts.read(port)

    async def prepare(self) -> None:
        try:
            await asyncio.to_thread(self._directory.make)
        except OSError as error:
            raise unwritable(error) from error
        await self._copy_certificate()
        await self._publisher.prepare()
        await self.ensure()
        await self._confirm_or_replace()

    async def ensure(self) -> None:
        """Repair the route file, then have a container with this configuration running."""
        await self._run_container(self._engine.ensure_ingress)

    async def replace(self) -> None:
        await self._run_container(self._engine.replace_ingress)

    async def repair(self) -> RouteFileState:
        """Also copies a renewed certificate, and starts a container that is gone or stopped."""
        state = await self._publisher.repair()
        if await self._copy_certificate():
            await self._publisher.publish()
        container = await self._engine.ingress_state()
        if container is None or not container.running:
            log.warning("ingress.repair", container=container.container if container else None)
            await self.ensure()
        if state is not RouteFileState.INTACT:
            await self._confirm_or_replace()
        return state

    async def check_ports(self) -> None:
        """Also name who listens beside our proxy. During a replacement, which shares the ports, nothing is checked."""
        if self._container_lock.locked():
            return
        await self._refuse_other_listeners()
        await super().check_ports()

    async def _refuse_other_listeners(self) -> None:
        own = await self._engine.ingress_processes()
        if others := await asyncio.to_thread(other_listeners, self._ports, own):
            names = [await self._engine.name_of_container(other.container) for other in others]
            raise port_shared(others, names)

    async def _confirm_or_replace(self) -> None:
        """Confirm a new publication; if that fails, replace the proxy and try again. Traefik 3.7.15 never reads its
        file if it started without one."""
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

    async def _run_container(self, run: Callable[[IngressSpec, ProxyReady], Awaitable[str]]) -> None:
        settings = self._configuration.settings
        async with self._container_lock:
            await self._publisher.repair()
            image = settings.image or await self._engine.ensure_ingress_image(
                *await asyncio.to_thread(binary.locate, settings.binary)
            )
            arguments = self._configuration.arguments()
            spec = IngressSpec(
                image, self._directory.host, arguments, settings.memory_mb, self._directory.uid
            )
            old = await self._engine.ingress_state()
            if old is None or not old.running:  # beside another program ours would get a part of its visitors
                await self._refuse_other_listeners()
            listeners = await asyncio.to_thread(listener_counts, self._ports)
            group = await self._keep_connections_on_old(old, listeners)
            await run(
                spec, partial(self._wait_until_ready, listeners, group, old is not None and old.running)
            )

    @property
    def _ports(self) -> list[int]:
        metrics = self._configuration.metrics_port
        return [point.port for point in self.entry_points] + ([] if metrics is None else [metrics])

    async def _keep_connections_on_old(
        self, old: IngressState | None, listeners: Counter[int]
    ) -> ReuseportGroup | None:
        """Return the group of the running proxy, which gets all new connections until `move_to_new`; None if that
        isn't possible: then the kernel spreads connections over both proxies."""
        if old is None or not old.pid or max(listeners.values()) > 1:
            return None
        group = ReuseportGroup(old.pid, frozenset(listeners))
        await _attach_if_possible(partial(group.give_to, self._directory.uid or 0))
        return group if await _attach_if_possible(group.keep_on_old) else None

    async def _wait_until_ready(
        self, listeners: Counter[int], group: ReuseportGroup | None, is_beside_old: bool
    ) -> None:
        """Return when the new proxy listens, has its routes and gets all new connections. Raises `NotConfirmed`."""
        await self._wait_until_listening(listeners, is_beside_old)
        if group is not None:
            # Publication 0: the marker of any publication of this epoch confirms.
            await self._publisher.confirm(0, {}, source_address=CHECK_ADDRESS)
            await _attach_if_possible(group.move_to_new)

    async def _wait_until_listening(self, listeners: Counter[int], is_beside_old: bool) -> None:
        """Return when each entry point has more listeners than `listeners`. Raises `NotConfirmed`."""
        try:
            async with asyncio.timeout(self._configuration.settings.confirm_seconds):
                await wait_for_second_listeners(listeners)
        except TimeoutError as error:
            if is_beside_old:
                raise NotConfirmed(
                    "a new proxy was started beside the old one, but does not listen"
                ) from error
            raise NotConfirmed(
                "the proxy was started, but does not listen", await self._last_lines()
            ) from error

    async def _last_lines(self) -> str:
        state = await self._engine.ingress_state()
        return state.last_lines if state else "There is no ingress container."

    async def _copy_certificate(self) -> bool:
        """Copy the operator's certificate into the directory; return whether it changed."""
        settings, context = self._configuration.settings, self._publisher.context
        if not settings.certificate_file:
            return False
        try:
            pair = await asyncio.to_thread(
                self._directory.install_certificate, settings.certificate_file, settings.certificate_key_file
            )
        except OSError as error:
            raise unwritable(error) from error
        self._publisher.context = replace(context, certificate=pair)
        return pair != context.certificate


async def _attach_if_possible(attach: Callable[[], None]) -> bool:
    try:
        await asyncio.to_thread(attach)
    except OSError as error:  # an old kernel, or a proxy that has ended
        log.warning("ingress.unsteered", reason=str(error))
        return False
    return True
