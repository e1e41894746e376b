"""Publishes the route rows to the proxy: reads, renders, writes, confirms. Concurrent callers share one publication."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import structlog

from stackyn_server.domain.failures import Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import InstanceId
from stackyn_server.errors import StackynError
from stackyn_server.ingress.confirmation import Confirmation, NotConfirmed
from stackyn_server.ingress.other_listeners import PortShared
from stackyn_server.ingress.render_context import PublicationId, RenderContext
from stackyn_server.ingress.route_file import RouteFile, RouteFileState
from stackyn_server.ingress.validators import RouteRefused
from stackyn_server.store import publications, routes
from stackyn_server.store.database import Database
from stackyn_server.store.routes import RouteRow

log = structlog.get_logger(__name__)

_CONNECTIONS = 12  # one that a second proxy gets every other of is missed once in 4,096 times


class NotPublished(TransientFailure):
    """The route file could not be written; the proxy serves its previous routes."""


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """The text of a route file. `refused` has the reason for each host that was left out."""

    text: str
    refused: Mapping[str, RouteRefused] = field(default_factory=dict)


Renderer = Callable[[RenderContext, PublicationId, Sequence[RouteRow]], RenderedFile]


class _Batch:
    """Callers whose commits the next snapshot will see. All of them get its number or its error."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.error: StackynError | None = None


class Publisher:
    def __init__(
        self,
        database: Database,
        file: RouteFile,
        context: RenderContext,
        renderer: Renderer,
        *,
        epoch: int,
        still_leading: Callable[[], Awaitable[None]],
        confirm_seconds: float,
    ) -> None:
        """`renderer` runs in a thread. `still_leading` is awaited before each rename and raises when another server
        leads. Later publications use a `context` that is set later."""
        self._database = database
        self._file = file
        self.context = context
        self._renderer = renderer
        self._epoch = epoch
        self._still_leading = still_leading
        self._confirm_seconds = confirm_seconds
        self._next = _Batch()
        self._lock = asyncio.Lock()
        self._refused: Mapping[str, RouteRefused] = {}

    async def prepare(self) -> int:
        """At server start: remove the staged files of an earlier server, and publish. Raises what `publish` raises."""
        async with self._lock:  # a job that publishes now has a staged file of the same name pattern
            try:
                await asyncio.to_thread(self._file.sweep)
            except OSError as error:
                raise unwritable(error) from error
        return await self.publish()

    async def publish(self) -> int:
        """Write all routes that were committed before this call; return the publication's number.

        Concurrent callers share one publication. Raises `NotPublished`, `LeadershipLost`, or `DatabaseUnavailable`.
        """
        batch = self._next
        async with self._lock:
            if batch.error is not None:
                raise batch.error
            if batch.number is None:
                if batch is self._next:
                    self._next = _Batch()  # later callers may commit after our snapshot
                try:
                    batch.number = await self._write()
                except StackynError as error:
                    batch.error = error
                    raise
            return batch.number

    async def confirm(
        self,
        number: int,
        changed: Mapping[str, InstanceId | None],
        *,
        source_address: IPv4Address | None = None,
    ) -> None:
        """Wait until the proxy serves publication `number` or a later one on every entry point, and each host of
        `changed` from its instance (0: this server, None: no route). `source_address` is our end of the connection.

        Raises `NotConfirmed` after `confirm_seconds`, `RouteRefused` when a host's route can't be written.
        """
        for host, instance in changed.items():
            if instance is not None and host in self._refused:
                raise self._refused[host]
        confirmation = Confirmation(self.context, PublicationId(self._epoch, number), source_address)
        try:
            async with asyncio.timeout(self._confirm_seconds):
                await confirmation.wait(changed)
        except TimeoutError as error:
            await self._still_leading()
            complaints = confirmation.complaints or ["the proxy did not answer"]
            if (state := await self._state()) is not RouteFileState.INTACT:
                complaints.append(f"the route file {state}")
            raise NotConfirmed(complaints[0], "\n".join(complaints)) from error

    async def check_answers(self) -> None:
        """Ask every entry point for this server's marker over several new connections. Raises `PortShared` when one of
        them is answered by another program, or not at all."""
        confirmation = Confirmation(self.context, PublicationId(self._epoch, 0))
        for point in self.context.entry_points:
            if complaints := await confirmation.ask_marker(point, _CONNECTIONS):
                raise PortShared(
                    f"{len(complaints)} of {_CONNECTIONS} new connections to port {point.port} (entry point "
                    f"{point.name}) were not answered by this server's proxy: it {complaints[0]}.",
                    hint=f"Look who listens there: ss -ltnp 'sport = :{point.port}'",
                )

    async def apply(self, changed: Mapping[str, InstanceId | None]) -> int:
        """Publish and confirm; return the number."""
        number = await self.publish()
        await self.confirm(number, changed)
        return number

    async def repair(self) -> RouteFileState:
        """Publish again if the file isn't the one that we wrote; return its state before. Called periodically."""
        if (state := await self._state()) is not RouteFileState.INTACT:
            log.warning("route_file.repair", found=state)
            await self.publish()
        return state

    async def _state(self) -> RouteFileState:
        try:
            return await asyncio.to_thread(self._file.state)
        except OSError as error:
            raise unwritable(error) from error

    async def _write(self) -> int:
        async with self._database.transaction() as connection:
            number = await publications.next_number(connection, self._epoch)
            rows = await routes.snapshot(connection)
        publication, context = PublicationId(self._epoch, number), self.context

        def stage() -> tuple[RenderedFile, Path]:
            rendered = self._renderer(context, publication, rows)
            return rendered, self._file.stage(rendered.text)

        try:
            rendered, staged = await asyncio.to_thread(stage)
            try:
                await self._still_leading()
                await asyncio.to_thread(self._file.commit, staged, publication)
            finally:
                await asyncio.to_thread(self._file.discard, staged)
        except OSError as error:
            raise unwritable(error) from error
        for host in rendered.refused.keys() - self._refused.keys():
            log.error("route.refused", host=host, reason=rendered.refused[host].message)
        self._refused = rendered.refused
        log.info("routes.published", number=number, routes=len(rows))
        return number


def unwritable(error: OSError) -> NotPublished:
    """Return the error for an ingress directory that can't be written; its text doesn't contain the path."""
    return NotPublished(
        Failure(
            FailureCode.SWITCH_FAILED,
            "The route file can't be written on this server.",
            "The server's operator must see to the disk space and permissions of the ingress directory.",
            error.strerror or "",
        )
    )
