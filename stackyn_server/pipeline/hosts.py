"""The host names that an app is reached by, and the question who serves them."""

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


async def hosts_of(connection: Connection, settings: Settings, app: App) -> list[str]:
    """Return `<slug>.<base domain>` and the app's confirmed domains of its own."""
    return [f"{app.slug}.{settings.public.base_domain}", *await routes.custom_hosts(connection, app.id)]


async def confirm_as_it_is(ingress: Ingress, hosts: Iterable[str], serving: InstanceId | None) -> None:
    """Publish the rows, and have the proxy confirm `serving` for each of an app's hosts. Raises `NotConfirmed`.

    A host that can't be published is served by nobody, so it keeps nothing from being taken away.
    """
    number = await ingress.publish()
    for host in hosts:
        with suppress(RouteRefused):
            await ingress.confirm(number, {host: serving})
