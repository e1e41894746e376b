"""What an installation leaves on this machine on purpose, so that apps go on without the server: taken away when its
tests are over."""

from __future__ import annotations

from contextlib import suppress

from stackyn_server.engine import containers, images, iptables
from stackyn_server.engine.builder import caches
from stackyn_server.engine.client import Engine
from stackyn_server.engine.firewall_zone import chain_name


async def clean_up(engine: Engine) -> None:
    """Remove the containers, images, caches, networks and firewall rules of this engine's installation."""
    await remove_containers(engine)
    for image in await images.present(engine):
        await images.remove(engine, image.id)
    await remove_networks(engine)
    await remove_firewall_rules(engine)
    for cache in await caches.list_all(engine):
        await caches.remove(engine, cache)


async def remove_containers(engine: Engine) -> None:
    for container in await containers.list_ours(engine):
        await containers.remove(engine, container.id)


async def remove_networks(engine: Engine) -> None:
    networks = await engine.ask(engine.docker.networks.list(filters=engine.labels.object_filter()))
    for network in networks:
        if engine.labels.owns_network(network.get("Labels") or {}):
            await engine.request_or_none("DELETE", f"networks/{network['Id']}")


async def remove_firewall_rules(engine: Engine) -> None:
    """Delete the chains of this installation, and the rules that lead to them."""
    name = chain_name(engine)
    for binary in (iptables.IPV4, iptables.IPV6):
        with suppress(iptables.TablesRefused):  # a machine may have no IPv6
            rules = [rule.split() for rule in (await iptables.run(binary, "-S")).splitlines()]
            jumps = [rule for rule in rules if rule[0] == "-A" and name in rule[-1] and name not in rule[1]]
            chains = [rule[1] for rule in rules if rule[0] == "-N" and name in rule[1]]
            deletions = [" ".join(("-D", *jump[1:])) for jump in jumps]
            for option in ("-F", "-X"):
                deletions += [f"{option} {chain}" for chain in chains]
            await iptables.change(binary, deletions)
