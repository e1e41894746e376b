"""`provider = "none"`: the operator's own proxy reads `routes.json`, which lists each host with its app's address.

We confirm only that the file is written and that each changed instance accepts connections. We don't know when the
other proxy reads the file, so a switch may fail requests here. No request reaches another app, because an app owns its
two addresses for its whole life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from stackyn_server.domain.ids import InstanceId
from stackyn_server.ingress import routes_json
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.driver import Ingress
from stackyn_server.ingress.publisher import Publisher, unwritable


class NoIngress(Ingress):
    def __init__(self, publisher: Publisher, file: Path, confirm_seconds: float) -> None:
        super().__init__(publisher)
        self._file = file
        self._confirm_seconds = confirm_seconds

    @property
    def can_hold(self) -> bool:
        return False

    async def prepare(self) -> None:
        try:
            await asyncio.to_thread(self._file.parent.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(error) from error
        await self._publisher.prepare()

    async def check_ports(self) -> None:
        """The operator's proxy has no marker of ours."""

    async def confirm(self, number: int, changed: Mapping[str, InstanceId | None]) -> None:
        """Check that the file lists each host of `changed` with its instance and that it accepts connections."""
        try:
            routes = routes_json.read(await asyncio.to_thread(self._file.read_text, "utf-8"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotConfirmed("routes.json is missing or was changed by another program") from error
        for host, instance in changed.items():
            route = routes.get(host)
            if instance is None:
                if route is not None:
                    raise NotConfirmed(f"routes.json still lists {host}")
            elif route is None or route["instance"] != instance:
                raise NotConfirmed(f"routes.json does not list {host} with this release")
            else:
                await self._accepts(host, route["url"])

    async def _accepts(self, host: str, url: str) -> None:
        address = urlsplit(url)
        try:
            async with asyncio.timeout(self._confirm_seconds):
                _, writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError as error:  # TimeoutError is one
            raise NotConfirmed(f"the instance behind {host} does not accept connections") from error
        writer.transport.abort()
