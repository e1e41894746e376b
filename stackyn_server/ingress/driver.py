"""The interface of the ingress, whichever proxy there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.route_file import RouteFileState


class Ingress(Protocol):
    """One of `TraefikIngress`, `ExternalIngress`, `NoIngress`; made by `ingress.drivers`."""

    @property
    def entry_points(self) -> tuple[EntryPoint, ...]:
        """The ports where our own checks reach the proxy. Empty without a proxy."""
        ...

    @property
    def can_hold(self) -> bool:
        """Whether the proxy can hold requests: it reaches our hold endpoint."""
        ...

    async def requests(self) -> Mapping[AppId, int] | None:
        """Return how many requests each app answered since the proxy started; an app without requests may be missing.
        None where the proxy has no such metrics. Raises `CountsUnavailable`."""
        ...

    async def prepare(self) -> None:
        """At server start: write the routes, start the proxy if necessary, confirm that it serves them. Idempotent.

        Raises `NotConfirmed`, `NotPublished`, or an error of the engine. The running proxy serves on in any case.
        """
        ...

    async def publish(self) -> int:
        """Write all routes that are committed now; return the publication's number. See `Publisher.publish`."""
        ...

    async def confirm(self, number: int, changed: Mapping[str, InstanceId | None]) -> None:
        """Return when the proxy serves publication `number` and each host of `changed` by its instance (None: none).

        Raises `NotConfirmed` in bounded time. See `Publisher.confirm`.
        """
        ...

    async def apply(self, changed: Mapping[str, InstanceId | None]) -> int:
        """Publish and confirm."""
        ...

    async def repair(self) -> RouteFileState:
        """Restore a route file that was changed and a proxy that is gone; return the file's state before the repair."""
        ...

    async def replace(self) -> None:
        """Replace the running proxy, which finishes its open requests. Does nothing where the proxy isn't ours."""
        ...
