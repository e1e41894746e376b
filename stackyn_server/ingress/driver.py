"""The ingress, whichever proxy there is: what all drivers share."""

from __future__ import annotations

from collections.abc import Mapping

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.publisher import Publisher
from stackyn_server.ingress.route_file import RouteFileState


class Ingress:
    """The driver of a proxy that isn't ours; other drivers override what they do differently."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    @property
    def entry_points(self) -> tuple[EntryPoint, ...]:
        """The ports where our own checks reach the proxy. Empty without a proxy."""
        return self._publisher.context.entry_points

    @property
    def can_hold(self) -> bool:
        """Whether the proxy can hold requests: it reaches our hold endpoint."""
        return self._publisher.context.hold_port is not None

    @property
    def uid(self) -> int | None:
        """The number of the user that the proxy runs as, None where it isn't ours or is root."""
        return None

    async def requests(self) -> Mapping[AppId, int] | None:
        """Return how many requests each app answered since the proxy started; an app without requests may be missing.
        None where the proxy has no such metrics. Raises `CountsUnavailable`."""
        return None

    async def prepare(self) -> None:
        """At server start: write the routes, start the proxy if necessary, confirm that it serves them. Idempotent.

        Raises `NotConfirmed`, `NotPublished`, or an error of the engine. The running proxy serves on in any case.
        """
        await self._publisher.confirm(await self._publisher.prepare(), {})

    async def publish(self) -> int:
        """Write all routes that are committed now; return the publication's number. See `Publisher.publish`."""
        return await self._publisher.publish()

    async def confirm(self, number: int, changed: Mapping[str, InstanceId | None]) -> None:
        """Return when the proxy serves publication `number` and each host of `changed` by its instance (None: none).

        Raises `NotConfirmed` in bounded time. See `Publisher.confirm`.
        """
        await self._publisher.confirm(number, changed)

    async def apply(self, changed: Mapping[str, InstanceId | None]) -> int:
        """Publish and confirm; return the publication's number."""
        number = await self.publish()
        await self.confirm(number, changed)
        return number

    async def repair(self) -> RouteFileState:
        """Restore a route file that was changed and a proxy that is gone; return the file's state before the repair."""
        return await self._publisher.repair()

    async def check_ports(self) -> None:
        """Raise `PortShared` when another program answers on our entry points; it gets a part of the visitors."""
        await self._publisher.check_answers()

    async def replace(self) -> None:
        """Replace the running proxy, which finishes its open requests. Does nothing where the proxy isn't ours."""
