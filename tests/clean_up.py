"""What an installation leaves on this machine on purpose, so that apps go on without the server: taken away when its
tests are over."""

from __future__ import annotations

from stackyn_server.engine import containers, firewall, images, networks
from stackyn_server.engine.builder import caches
from stackyn_server.engine.client import Engine


async def clean_up(engine: Engine) -> None:
    """Remove the containers, images, caches, networks and firewall rules of this engine's installation."""
    await remove_containers(engine)
    for image in await images.present(engine):
        await images.remove(engine, image.id)
    await networks.remove_ours(engine)
    await firewall.remove_rules(engine)
    for cache in await caches.list_all(engine):
        await caches.remove(engine, cache)


async def remove_containers(engine: Engine) -> None:
    for container in await containers.list_ours(engine):
        await containers.remove(engine, container.id)
