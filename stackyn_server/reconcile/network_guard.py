"""Closes the networks of apps and builds, and our own ports; makes the first networks before deployments need them."""

from __future__ import annotations

import os

import structlog

from stackyn_server import config
from stackyn_server.engine import firewall, networks
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused
from stackyn_server.engine.iptables import TablesRefused
from stackyn_server.engine.local_ports import restrict_local_ports

log = structlog.get_logger()


async def close_networks(settings: config.Settings, engine: Engine, proxy_uid: int | None) -> None:
    """Write the firewall rules again, since others may have removed them, and make missing networks.

    What only deployments need is logged and not raised: each deployment meets the same problem and reports it.
    """
    ingress_ports = [port for port in (settings.ingress.http_port, settings.ingress.https_port) if port]
    try:
        await firewall.restrict_apps(engine, ingress_ports)
    except TablesRefused as refused:
        reason = f"Containers can reach private networks and services of this host: {refused}"
        log.warning("host.open_to_containers", reason=reason)
    try:
        await _close_local_ports(settings, engine, proxy_uid)
    except TablesRefused as refused:
        log.warning(
            "local_ports.open", reason=f"Other users of this machine reach the proxy's ports: {refused}"
        )
    try:
        await firewall.restrict_builds(engine, settings.builds.allowed_private)
    except firewall.BuildsNotRestricted as error:
        log.warning("builds.not_closed", reason=error.reason)
    try:
        await networks.ensure_initial_networks(engine, settings.builds.concurrency)
    except EngineRefused as error:
        log.warning("networks.not_ready", reason=error.reason)


async def _close_local_ports(settings: config.Settings, engine: Engine, proxy_uid: int | None) -> None:
    """Close the ports of held requests and of the proxy's numbers. An operator's proxy may run as any user."""
    ingress = settings.ingress
    is_ours = ingress.provider == "traefik" and ingress.managed
    ports = (settings.hold.port, ingress.metrics_port) if is_ours else ()
    await restrict_local_ports(engine, ports, {os.geteuid(), proxy_uid or 0})
