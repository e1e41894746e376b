"""What lies between visitors and apps: `[network]`, `[ingress]`, `[hold]`."""

from __future__ import annotations

import ipaddress
from typing import Literal

from stackyn_server.config.table import Count, OptionalPort, Port, Seconds, Table

LONGEST_APP_PREFIX = 21  # one bridge full of seats


class NetworkSettings(Table):
    subnet: ipaddress.IPv4Network = ipaddress.IPv4Network("10.213.0.0/16")
    build_subnet: ipaddress.IPv4Network = ipaddress.IPv4Network("10.214.0.0/20")
    close_host: bool = True
    allowed_private: tuple[ipaddress.IPv4Network, ...] = ()
    quarantine_seconds: Seconds = 60  # on top of the longest hold


class IngressSettings(Table):
    provider: Literal["traefik", "none"] = "traefik"
    managed: bool = True
    http_port: Port = 80
    https_port: OptionalPort = 0
    binary: str = ""
    image: str = ""
    directory: str = ""
    entry_points: tuple[str, ...] = ("web",)
    confirm_seconds: Seconds = 15
    read_seconds: Seconds = 600
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    certificate_resolver: str = ""
    acme_email: str = ""
    acme_server: str = ""
    certificate_file: str = ""
    certificate_key_file: str = ""
    memory_mb: Count = 256
    metrics_port: Port = 8472
    reaches_loopback: bool = False


class HoldSettings(Table):
    """How the proxy keeps requests while an app wakes up or during a rollout in place."""

    port: Port = 8471
    seconds: Seconds = 100
    most_per_app: Count = 100
    refuse_seconds: Seconds = 10
