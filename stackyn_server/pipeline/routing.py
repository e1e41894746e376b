"""The host names that an app is reached by."""

from __future__ import annotations

from stackyn_server.config import Settings
from stackyn_server.store import routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection


async def hosts_of(connection: Connection, settings: Settings, app: App) -> list[str]:
    """Return `<slug>.<base domain>` and the app's confirmed domains of its own."""
    return [f"{app.slug}.{settings.public.base_domain}", *await routes.custom_hosts(connection, app.id)]
