"""What all ingress drivers share: they publish, confirm and repair through the publisher."""

from __future__ import annotations

from collections.abc import Mapping

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.publisher import Publisher
from stackyn_server.ingress.route_file import RouteFileState


class PublishingIngress:
    """The methods of `Ingress` for a proxy that isn't ours; a driver overrides what it does differently."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    @property
    def entry_points(self) -> tuple[EntryPoint, ...]:
        return self._publisher.context.entry_points

    @property
    def can_hold(self) -> bool:
        return self._publisher.context.hold_port is not None

    async def requests(self) -> Mapping[AppId, int] | None:
        return None

    async def publish(self) -> int:
        return await self._publisher.publish()

    async def confirm(self, number: int, changed: Mapping[str, InstanceId | None]) -> None:
        await self._publisher.confirm(number, changed)

    async def apply(self, changed: Mapping[str, InstanceId | None]) -> int:
        number = await self.publish()
        await self.confirm(number, changed)
        return number

    async def repair(self) -> RouteFileState:
        return await self._publisher.repair()

    async def replace(self) -> None:
        """Do nothing: the proxy isn't ours."""
