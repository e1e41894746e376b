"""An app's host names, and what the proxy answers on them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from stackyn_server.config import Settings
from stackyn_server.domain.ids import InstanceId
from stackyn_server.ingress.driver import Ingress
from stackyn_server.ingress.validators import RouteRefused
from stackyn_server.store import routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection


def hosts_with(settings: Settings, app: App, custom_hosts: Iterable[str]) -> list[str]:
    """Return `<slug>.<base domain>` and the app's confirmed domains of its own; none once they may be another app's."""
    if app.route_gone_at is not None:
        return []
    return [f"{app.slug}.{settings.public.base_domain}", *custom_hosts]


async def hosts_of(connection: Connection, settings: Settings, app: App) -> list[str]:
    return hosts_with(settings, app, await routes.custom_hosts(connection, app.id))


async def confirm_route(ingress: Ingress, hosts: Iterable[str], serving: InstanceId | None) -> None:
    """Publish all routes as they are, and have the proxy confirm `serving` (None: nobody) for each of an app's hosts.

    A host that can't be published is served by nobody, so it is skipped. Raises `NotConfirmed`.
    """
    number = await ingress.publish()
    for host in hosts:
        with suppress(RouteRefused):
            await ingress.confirm(number, {host: serving})
