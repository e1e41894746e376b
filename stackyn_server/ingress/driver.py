"""What the rest of the server may ask of the ingress, whichever proxy there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.route_file import RouteFileState


class Ingress(Protocol):
    """One of `TraefikIngress`, `ExternalIngress`, `NoIngress`; made by `ingress.choose`."""

    @property
    def entry_points(self) -> tuple[EntryPoint, ...]:
        """Where our own checks reach the proxy, with the host's name in the request. Empty without a proxy."""
        ...

    @property
    def can_hold(self) -> bool:
        """Whether a held route really holds requests: the proxy reaches our hold endpoint."""
        ...

    async def requests(self) -> Mapping[AppId, int] | None:
        """Return how many requests each app has answered since some time; an app without any may be missing. None
        where the proxy doesn't tell. Raises `CountsUnavailable`."""
        ...

    async def prepare(self) -> None:
        """At server start: routes written and checked, the proxy running and serving them. Idempotent.

        Raises `NotConfirmed`, `NotPublished`, or what its parts raise; apps that are served go on being served.
        """
        ...

    async def publish(self) -> int:
        """Write all routes as committed when called; return the publication's number. See `Publisher.publish`."""
        ...

    async def confirm(self, number: int, changed: Mapping[str, InstanceId | None]) -> None:
        """Return when `number` is served and each host of `changed` by its instance (None: by nobody).

        Raises `NotConfirmed` in bounded time. See `Publisher.confirm`.
        """
        ...

    async def apply(self, changed: Mapping[str, InstanceId | None]) -> int:
        """Publish and confirm."""
        ...

    async def repair(self) -> RouteFileState:
        """Put right what somebody else broke (the file, a proxy that is gone); returns the file's state as found."""
        ...

    async def replace(self) -> None:
        """Put a new proxy in the place of the running one, which is asked to finish its requests. No-op where the
        proxy isn't ours."""
        ...
