"""The inputs of the proxy's dynamic configuration other than the routes: names, secret, entry points, certificates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from stackyn_server.ingress import validators
from stackyn_server.ingress.entry_points import EntryPoint

HOLD_ROUND_SECONDS = 25  # Traefik ends one forwardAuth request after exactly 30 s


@dataclass(frozen=True, slots=True, order=True)
class PublicationId:
    """Identifies a publication of the route file. Ordered by epoch, then by number."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{validators.not_negative(self.epoch)}-{validators.not_negative(self.number)}"


@dataclass(frozen=True, slots=True)
class OwnUpstream:
    """A part of this server at `<label>.<base domain>`. `is_api`: its clients expect errors as JSON."""

    label: str
    address: IPv4Address
    port: int
    is_api: bool = False


@dataclass(frozen=True, slots=True)
class RenderContext:
    """`https_port` is where plain requests are redirected to, None without HTTPS.

    `metrics_port` is our own proxy's loopback entry point. Pages of `allowed_origins` may read the proxy's JSON error
    while the API can't be reached.
    """

    base_domain: str
    subnet: IPv4Network
    secret: str
    entry_points: tuple[EntryPoint, ...]
    own_upstreams: tuple[OwnUpstream, ...] = ()
    https_port: int | None = None
    certificate_resolver: str = ""
    certificate: tuple[str, str] | None = None  # paths of chain and key, as the proxy sees them
    hold_port: int | None = None
    hold_seconds: float = 60
    metrics_port: int | None = None
    allowed_origins: tuple[str, ...] = ()

    @property
    def hold_rounds(self) -> int:
        return math.ceil(self.hold_seconds / HOLD_ROUND_SECONDS)

    @property
    def marker_host(self) -> str:
        return f"generation-{validators.secret(self.secret)}.internal"

    @property
    def confirm_path(self) -> str:
        return f"/.stackyn-{validators.secret(self.secret)}"

    def host_of(self, label: str) -> str:
        return validators.host(f"{label}.{self.base_domain}")
