"""Renders Traefik's dynamic configuration (v3) as a pure function of the route rows.

On each entry point an app has a router for its hosts, and a confirmation router of higher priority that answers on a
secret path with instance and publication, for `Publisher.confirm`. Both have the same rule, service, middlewares and
TLS: a fault that keeps Traefik from building the first router keeps the second from answering.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackyn_server.ingress import fallback, validators
from stackyn_server.ingress.entry_points import LOOPBACK, METRICS, EntryPoint
from stackyn_server.ingress.publisher import RenderedFile
from stackyn_server.ingress.readback import validate
from stackyn_server.ingress.render_context import PublicationId, RenderContext
from stackyn_server.ingress.upstreams import Upstream, assign_hosts
from stackyn_server.ingress.validators import RouteRefused
from stackyn_server.store.routes import RouteRow

Section = dict[str, Any]

APP_PRIORITY = 10_000  # above an operator's own routers, whose priority is the length of their rule
CONFIRM_PRIORITY = 1_000_000
IDLE_CONNECTION = "1s"  # at the default, one to the old instance stayed for 27 s after a switch
IDLE_CONNECTIONS_PER_HOST = 2048  # at 200, 400 concurrent requests left 7,758 TIME_WAIT in 7 s
HOLD_ANSWER_BYTES = 4096
HOLD_HEADER = "X-Stackyn-Hold"  # Traefik forwards only the headers that are listed, so no credentials
NOTHING = "noop@internal"
TRANSPORT, TO_HTTPS, MARKER = "stackyn-apps", "stackyn-to-https", "stackyn-marker"
UNFORGED = "stackyn-unforged"
ANSWER_URL = (
    "http://stackyn.internal"  # of the redirect with which the marker and the confirmation routers answer
)


@dataclass(frozen=True, slots=True)
class DynamicConfiguration:
    """`refused` has the reason for each host that was left out: one app's invalid value doesn't affect other apps."""

    configuration: Section
    refused: Mapping[str, RouteRefused] = field(default_factory=dict)

    def as_text(self) -> str:
        """Return JSON, which is valid YAML. Deterministic."""
        text = json.dumps(self.configuration, sort_keys=True, separators=(",", ":"))
        if "{{" in text:
            raise RouteRefused("The route file would hold template text.")
        return text + "\n"


def render_file(
    context: RenderContext, publication: PublicationId, routes: Sequence[RouteRow]
) -> RenderedFile:
    """Render and validate: the publisher's `Renderer` for Traefik. Raises `RouteRefused` or `RouteFileInvalid`."""
    rendered = render(context, publication, routes)
    text = rendered.as_text()
    validate(text, [METRICS, *(entry_point.name for entry_point in context.entry_points)])
    return RenderedFile(text, rendered.refused)


def render(
    context: RenderContext, publication: PublicationId, routes: Sequence[RouteRow]
) -> DynamicConfiguration:
    """Return the configuration that serves `routes`, in any order. Raises `RouteRefused` for a bad `context`."""
    upstreams, refused = assign_hosts(context, routes)
    routers: Section = dict(_markers(context))
    services: Section = {}
    middlewares: Section = {
        MARKER: _redirect(f"{ANSWER_URL}/{publication}"),
        # Traefik removes forged X-Forwarded-* itself, but not Forwarded (RFC 7239).
        UNFORGED: {"headers": {"customRequestHeaders": {"Forwarded": ""}}},
    }
    if context.https_port is not None:
        middlewares[TO_HTTPS] = {
            "redirectScheme": {
                "scheme": "https",
                "port": str(validators.port(context.https_port)),
                "permanent": True,
            }
        }
    if context.metrics_port is not None:
        routers[fallback.ANSWER] = fallback.router()
        middlewares.update(fallback.middlewares(context.allowed_origins))
        url = validators.server_url(LOOPBACK, context.metrics_port)
        services[fallback.SERVICE] = _service(url, passHostHeader=False)
    for upstream in upstreams:
        services[upstream.key] = _service(upstream.url)
        instance = validators.not_negative(upstream.instance)
        middlewares[_confirmation(upstream)] = _redirect(f"{ANSWER_URL}/{instance}/{publication}")
        middlewares.update(_holds(context, upstream))
        routers.update(_routers(context, upstream))
    http = {
        "routers": routers,
        "middlewares": middlewares,
        "serversTransports": {TRANSPORT: _transport()},
        **({"services": services} if services else {}),  # the proxy refuses a file with an empty map
    }
    return DynamicConfiguration({"http": http, **_tls(context)}, refused)


def _routers(context: RenderContext, upstream: Upstream) -> Iterator[tuple[str, Section]]:
    rule = " || ".join(f"Host(`{host}`)" for host in upstream.hosts)
    holds = list(_holds(context, upstream))
    for entry_point in context.entry_points:
        name = validators.identifier(entry_point.name, "An entry point")
        redirected = context.https_port is not None and not entry_point.tls
        first = [UNFORGED, *([TO_HTTPS] if redirected else holds)]
        last = [fallback.MIDDLEWARE] if upstream.is_api and context.metrics_port is not None else []
        shared = {"entryPoints": [name], "service": upstream.key, **_router_tls(context, entry_point)}
        yield (
            f"{upstream.key}-{name}",
            {"rule": rule, "priority": APP_PRIORITY, "middlewares": [*first, *last], **shared},
        )
        yield (
            f"confirm-{upstream.key}-{name}",
            {
                "rule": f"({rule}) && Path(`{context.confirm_path}`)",
                "priority": CONFIRM_PRIORITY,
                "middlewares": [_confirmation(upstream), *first],
                **shared,
            },
        )


def _markers(context: RenderContext) -> Iterator[tuple[str, Section]]:
    for entry_point in context.entry_points:
        name = validators.identifier(entry_point.name, "An entry point")
        yield (
            f"marker-{name}",
            {
                "rule": f"Host(`{context.marker_host}`)",
                "priority": CONFIRM_PRIORITY,
                "entryPoints": [name],
                "service": NOTHING,
                "middlewares": [MARKER],
                **({"tls": {}} if entry_point.tls else {}),  # the marker host never requests a certificate
            },
        )


def _router_tls(context: RenderContext, entry_point: EntryPoint) -> Section:
    if not entry_point.tls:
        return {}
    if not context.certificate_resolver:
        return {"tls": {}}
    return {
        "tls": {
            "certResolver": validators.identifier(
                context.certificate_resolver, "[ingress] certificate_resolver"
            )
        }
    }


def _holds(context: RenderContext, upstream: Upstream) -> Section:
    """Return the forwardAuth middlewares of a held app in order: each is one round, and only the last may refuse."""
    if upstream.held_app is None or context.hold_port is None:
        return {}
    rounds, port = context.hold_rounds, validators.port(context.hold_port)
    return {
        f"hold-{upstream.key}-{round_number:02}": {
            "forwardAuth": {
                "address": f"http://127.0.0.1:{port}/hold/{upstream.held_app}/{round_number}/{rounds}",
                "trustForwardHeader": False,
                "authRequestHeaders": [HOLD_HEADER],
                "maxResponseBodySize": HOLD_ANSWER_BYTES,
            }
        }
        for round_number in range(1, rounds + 1)
    }


def _confirmation(upstream: Upstream) -> str:
    return f"confirm-{upstream.key}"


def _redirect(location: str) -> Section:
    return {"redirectRegex": {"regex": "^.+$", "replacement": location}}


def _service(url: str, **more: bool) -> Section:
    return {"loadBalancer": {"servers": [{"url": url}], "serversTransport": TRANSPORT, **more}}


def _transport() -> Section:
    return {
        "maxIdleConnsPerHost": IDLE_CONNECTIONS_PER_HOST,
        "forwardingTimeouts": {"idleConnTimeout": IDLE_CONNECTION},
    }


def _tls(context: RenderContext) -> Section:
    if context.certificate is None:
        return {}
    chain, key = (validators.path(path, "A certificate's path") for path in context.certificate)
    pair = {"certFile": chain, "keyFile": key}
    return {"tls": {"certificates": [pair], "stores": {"default": {"defaultCertificate": pair}}}}
