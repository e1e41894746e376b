"""Traefik's static configuration: what only a restart changes. It is passed as arguments, by which two containers are
compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from stackyn_server.config import IngressSettings
from stackyn_server.ingress import fallback, validators
from stackyn_server.ingress.configuration_directory import ACME, CA_BUNDLE, ROUTE_FILE, ROUTES
from stackyn_server.ingress.entry_points import LOOPBACK, METRICS, PLAIN, EntryPoint

THROTTLE = "50ms"  # at the default of 2 s a switch takes as long
ACCEPT_SECONDS = 1  # after SIGTERM; at 0 Traefik cuts off connections that it has not accepted yet
GRACE_SECONDS = 10  # for open requests, after that
RESOLVER = "stackyn"


@dataclass(frozen=True, slots=True)
class StaticConfiguration:
    """`directory` is the configuration directory as the proxy sees it; `metrics_port` is on loopback, None for none."""

    settings: IngressSettings
    entry_points: tuple[EntryPoint, ...]
    directory: PurePosixPath
    metrics_port: int | None = None

    def arguments(self) -> tuple[str, ...]:
        """Return the command line of Traefik v3 without the program. Deterministic. Raises `RouteRefused`."""
        return tuple(f"--{argument}" for argument in _arguments(self))


def resolver_name(settings: IngressSettings) -> str:
    """Return the certificate resolver that TLS routers name, "" for none."""
    if not settings.managed:
        return settings.certificate_resolver
    if not settings.https_port or settings.certificate_file:
        return ""
    return settings.certificate_resolver or (RESOLVER if settings.acme_email else "")


def _arguments(configuration: StaticConfiguration) -> Iterator[str]:
    directory = validators.path(str(configuration.directory), "The ingress directory")
    yield "global.checknewversion=false"
    yield "global.sendanonymoususage=false"
    yield "log.level=WARN"
    yield "log.format=json"
    # With `directory` instead, removing the file would remove all routes at once.
    yield f"providers.file.filename={directory}/{ROUTES}/{ROUTE_FILE}"
    yield "providers.file.watch=true"
    yield f"providers.providersthrottleduration={THROTTLE}"
    for entry_point in configuration.entry_points:
        yield from _entry_point(entry_point, configuration.settings)
    if configuration.metrics_port is not None:
        yield f"entrypoints.{METRICS}.address={LOOPBACK}:{validators.port(configuration.metrics_port)}"
        yield f"entrypoints.{METRICS}.reuseport=true"  # as for the other entry points
        yield f"metrics.prometheus.entrypoint={METRICS}"
        yield "metrics.prometheus.addserviceslabels=true"
        yield "metrics.prometheus.addentrypointslabels=false"
        yield f"experimental.localplugins.{fallback.PLUGIN}.modulename={fallback.MODULE}"
    if resolver_name(configuration.settings):
        yield from _acme(configuration.settings, directory)


def _entry_point(entry_point: EntryPoint, settings: IngressSettings) -> Iterator[str]:
    name = f"entrypoints.{validators.identifier(entry_point.name, 'An entry point')}"
    yield f"{name}.address=:{validators.port(entry_point.port)}"
    # The next proxy listens on the same ports before this one stops.
    yield f"{name}.reuseport=true"
    # The default of 60 s cuts long uploads.
    yield f"{name}.transport.respondingtimeouts.readtimeout={round(settings.read_seconds)}s"
    yield f"{name}.transport.lifecycle.requestacceptgracetimeout={ACCEPT_SECONDS}s"
    yield f"{name}.transport.lifecycle.gracetimeout={GRACE_SECONDS}s"
    # Apps get the path that the visitor sent. Our own rules match no path but the secret one.
    yield f"{name}.http.sanitizepath=false"
    if settings.trusted_proxies:
        trusted = ",".join(str(network) for network in settings.trusted_proxies)
        yield f"{name}.forwardedheaders.trustedips={trusted}"
        if not entry_point.tls:
            # Traefik reads a request with both Content-Length and Transfer-Encoding by the latter, which is right, but
            # keeps its connection, which RFC 9112 forbids: a proxy in front that reads the length would let a second
            # request through inside the first. Nothing can hide on a connection that ends after one request.
            yield f"{name}.transport.keepalivemaxrequests=1"
    # Otherwise X_Forwarded_For reaches an app as the X-Forwarded-For that the proxy vouches for.
    yield f"{name}.http.aliasheadersstrategy=delete"


def _acme(settings: IngressSettings, directory: str) -> Iterator[str]:
    resolver = validators.identifier(resolver_name(settings), "[ingress] certificate_resolver")
    name = f"certificatesresolvers.{resolver}.acme"
    yield f"{name}.storage={directory}/{ACME}/{ACME}.json"
    yield f"{name}.keytype=EC256"
    yield f"{name}.cacertificates={directory}/{CA_BUNDLE}"  # the container holds nothing but the binary
    if settings.acme_email:
        yield f"{name}.email={validators.mail(settings.acme_email, '[ingress] acme_email')}"
    if settings.acme_server:
        yield f"{name}.caserver={validators.url(settings.acme_server, '[ingress] acme_server')}"
    if settings.http_port == 80:
        yield f"{name}.httpchallenge.entrypoint={PLAIN}"
    else:
        yield f"{name}.tlschallenge=true"
