"""What the proxy's configuration is made of besides the routes: names, secret, entry points, certificates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from stackyn_server.ingress import validators
from stackyn_server.ingress.entry_points import EntryPoint

HOLD_TURN_SECONDS = 25  # the proxy gives up on one forwardAuth after exactly 30 s


@dataclass(frozen=True, slots=True, order=True)
class PublicationId:
    """Which publication this is. Ordered: a later epoch, then a later number."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{validators.number(self.epoch)}-{validators.number(self.number)}"


@dataclass(frozen=True, slots=True)
class OwnUpstream:
    """`<label>.<base domain>`, served by ourselves on the host. `is_api`: its visitors are programs."""

    label: str
    address: IPv4Address
    port: int
    is_api: bool = False


@dataclass(frozen=True, slots=True)
class RenderContext:
    """Everything around the routes. `https_port` is where plain requests are redirected to, None without HTTPS.

    `metrics_port` is our own proxy's loopback entry point, and `allowed_origins` are those whose pages may read what
    the proxy answers there for an API that is away.
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
    def hold_turns(self) -> int:
        return math.ceil(self.hold_seconds / HOLD_TURN_SECONDS)

    @property
    def marker_host(self) -> str:
        return f"generation-{validators.secret(self.secret)}.internal"

    @property
    def confirm_path(self) -> str:
        return f"/.stackyn-{validators.secret(self.secret)}"

    def host_of(self, label: str) -> str:
        return validators.host(f"{label}.{self.base_domain}")
