"""Creates the ingress that the settings name: our own Traefik, an operator's, or none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path

from stackyn_server.config import Settings
from stackyn_server.domain.ingress import MOUNT
from stackyn_server.errors import StackynError
from stackyn_server.ingress import entry_points, external, render, routes_json
from stackyn_server.ingress.configuration_directory import ConfigurationDirectory
from stackyn_server.ingress.driver import Ingress
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.external import ExternalIngress
from stackyn_server.ingress.none import NoIngress
from stackyn_server.ingress.proxy_user import proxy_uid
from stackyn_server.ingress.publisher import Publisher, Renderer
from stackyn_server.ingress.render_context import OwnUpstream, RenderContext
from stackyn_server.ingress.route_file import RouteFile
from stackyn_server.ingress.static_configuration import StaticConfiguration, resolver_name
from stackyn_server.ingress.traefik import IngressEngine, TraefikIngress
from stackyn_server.store.database import Database

API = "api"
HTTPS_PORT = 443


class IngressMisconfigured(StackynError):
    code = "CONFIG_INVALID"


def create_ingress(
    settings: Settings,
    database: Database,
    engine: IngressEngine,
    *,
    secret: str,
    epoch: int,
    still_leading: Callable[[], Awaitable[None]],
) -> Ingress:
    """Create the ingress, without any I/O. `secret` is the installation's.

    Raises `IngressMisconfigured` or `EntryPointInvalid`.
    """
    ingress = settings.ingress

    def publisher(file: RouteFile, renderer: Renderer, points: tuple[EntryPoint, ...]) -> Publisher:
        return Publisher(
            database,
            file,
            _context(settings, points, secret),
            renderer,
            epoch=epoch,
            still_leading=still_leading,
            confirm_seconds=ingress.confirm_seconds,
        )

    directory_of_proxy = own_directory(settings)
    if ingress.provider == "none":
        file = directory_of_proxy / "routes.json"
        return NoIngress(
            publisher(RouteFile(file), routes_json.render_file, ()), file, ingress.confirm_seconds
        )
    if not ingress.managed:
        if not ingress.directory:
            raise IngressMisconfigured(
                "[ingress] directory must name the directory that your Traefik watches."
            )
        if ingress.certificate_file:
            raise IngressMisconfigured(
                "[ingress] certificate_file belongs into your own Traefik's configuration."
            )
        points = entry_points.external(ingress)
        return ExternalIngress(
            publisher(RouteFile(directory_of_proxy / external.FILE), render.render_file, points)
        )
    if ingress.certificate_file and not ingress.https_port:
        raise IngressMisconfigured("[ingress] certificate_file needs https_port.")
    points = entry_points.managed(ingress)
    uid = proxy_uid(ingress, secret)
    directory = ConfigurationDirectory(directory_of_proxy, MOUNT, uid)
    return TraefikIngress(
        publisher(RouteFile(directory.routes, directory.staging, uid), render.render_file, points),
        engine,
        StaticConfiguration(ingress, points, MOUNT, ingress.metrics_port),
        directory,
    )


def own_directory(settings: Settings) -> Path:
    """Return the folder where the proxy of this installation finds its routes. No other installation has it."""
    return Path(settings.ingress.directory or settings.server.data_dir / "ingress")


def _context(settings: Settings, points: tuple[EntryPoint, ...], secret: str) -> RenderContext:
    can_hold = settings.ingress.managed or settings.ingress.reaches_loopback
    has_tls = any(point.tls for point in points)
    redirects = has_tls and settings.public.scheme == "https"
    return RenderContext(
        base_domain=settings.public.base_domain,
        subnet=settings.network.subnet,
        secret=secret,
        entry_points=points,
        own_upstreams=_own_upstreams(settings),
        https_port=(settings.public.port or settings.ingress.https_port or HTTPS_PORT) if redirects else None,
        certificate_resolver=resolver_name(settings.ingress),
        hold_port=settings.hold.port if can_hold else None,
        hold_seconds=settings.hold.seconds,
        metrics_port=settings.ingress.metrics_port if settings.ingress.managed else None,
        allowed_origins=settings.allowed_origins,
    )


def _own_upstreams(settings: Settings) -> tuple[OwnUpstream, ...]:
    api = OwnUpstream(API, _own_address(settings.server.host), settings.server.port, is_api=True)
    port = settings.frontend.port
    clients = [OwnUpstream(label, entry_points.LOOPBACK, port) for label in settings.frontend.folders]
    return (api, *clients)


def _own_address(host: str) -> IPv4Address:
    """Return the address where the proxy reaches our own server: loopback when the server listens on all addresses."""
    try:
        address = IPv4Address(host)
    except ValueError:
        return entry_points.LOOPBACK
    return entry_points.LOOPBACK if address.is_unspecified else address
