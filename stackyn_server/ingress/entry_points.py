"""The ports on which the proxy listens, with their names in its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from stackyn_server.config import IngressSettings
from stackyn_server.errors import StackynError
from stackyn_server.ingress import validators

LOOPBACK = IPv4Address("127.0.0.1")
PLAIN, TLS = "web", "websecure"
METRICS = "metrics"  # of our own proxy, on loopback
_TLS_MARK = "/tls"


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """`address` and `port` are where our own checks connect."""

    name: str
    port: int
    tls: bool = False
    address: IPv4Address = LOOPBACK


class EntryPointInvalid(StackynError):
    code = "CONFIG_INVALID"


def managed(settings: IngressSettings) -> tuple[EntryPoint, ...]:
    """Return the entry points of our own proxy: plain HTTP, and TLS when `https_port` is set."""
    plain = EntryPoint(PLAIN, settings.http_port)
    return (plain, EntryPoint(TLS, settings.https_port, tls=True)) if settings.https_port else (plain,)


def external(settings: IngressSettings) -> tuple[EntryPoint, ...]:
    """Read `[ingress] entry_points` of an operator's proxy. Each is `name`, `name:port`, `name/tls` or `name:port/tls`.

    Without a port it is `https_port` for a TLS one and `http_port` for any other. Raises `EntryPointInvalid`.
    """
    if not settings.entry_points:
        raise EntryPointInvalid(
            "[ingress] entry_points is empty: name at least one entry point of your proxy."
        )
    return tuple(_read(text, settings) for text in settings.entry_points)


def _read(text: str, settings: IngressSettings) -> EntryPoint:
    tls = text.endswith(_TLS_MARK)
    name, _, digits = text.removesuffix(_TLS_MARK).partition(":")
    default = settings.https_port if tls else settings.http_port
    try:
        port = int(digits) if digits else default
        return EntryPoint(validators.identifier(name, "An entry point"), validators.port(port), tls)
    except (ValueError, validators.RouteRefused) as error:
        raise EntryPointInvalid(
            f"[ingress] entry_points: {text!r} is not `name`, `name:port`, `name/tls` or `name:port/tls`.",
            hint="A TLS entry point without a port needs [ingress] https_port.",
        ) from error
