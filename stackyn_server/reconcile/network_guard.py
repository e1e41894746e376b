"""Closes the networks of apps and builds, and makes the first networks before any deployment needs them."""

from __future__ import annotations

import structlog

from stackyn_server import config
from stackyn_server.engine import firewall, networks
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused
from stackyn_server.engine.iptables import TablesRefused

log = structlog.get_logger()


async def close_networks(settings: config.Settings, engine: Engine) -> None:
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
        await firewall.restrict_builds(engine, settings.builds.allowed_private)
    except firewall.BuildsNotRestricted as error:
        log.warning("builds.not_closed", reason=error.reason)
    try:
        await networks.ensure_initial_networks(engine, settings.builds.concurrency)
    except EngineRefused as error:
        log.warning("networks.not_ready", reason=error.reason)
