"""`managed = false`: writes our route file into the directory that an operator's Traefik watches.

That Traefik needs `providers.file.directory` (or `filename`) with `watch`, a low `providersThrottleDuration`, and host
networking or a network shared with the apps' bridges. We neither read nor change its other routers.
"""

from __future__ import annotations

from collections.abc import Mapping

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.publisher import Publisher
from stackyn_server.ingress.route_file import RouteFileState

FILE = "stackyn.yml"  # read by a proxy that watches a directory; JSON is YAML


class ExternalIngress:
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

    async def prepare(self) -> None:
        await self._publisher.confirm(await self._publisher.prepare(), {})

    async def publish(self) -> int:
        return await self._publisher.publish()

    async def confirm(self, number: int, changed: Mapping[str, InstanceId | None]) -> None:
        await self._publisher.confirm(number, changed)

    async def apply(self, changed: Mapping[str, InstanceId | None]) -> int:
        return await self._publisher.apply(changed)

    async def repair(self) -> RouteFileState:
        return await self._publisher.repair()

    async def replace(self) -> None:
        """Do nothing: the proxy is the operator's."""
