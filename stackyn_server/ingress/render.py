"""The whole configuration of the proxy as a pure function of the route rows (Traefik v3, dynamic configuration).

Every app gets, on every entry point, a router for its hosts and a second one of higher priority that answers on a
secret path with instance and publication: what `Publisher.confirm` asks for. It has the same rule, service, middlewares
and TLS as the first, so whatever would keep the first from being built keeps the second from answering.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackyn_server.ingress import alphabet, fallback
from stackyn_server.ingress.alphabet import RouteRefused
from stackyn_server.ingress.entry_points import METRICS, EntryPoint
from stackyn_server.ingress.frame import Frame, Mark
from stackyn_server.ingress.publisher import Page
from stackyn_server.ingress.readback import validate
from stackyn_server.ingress.sites import Site, assign
from stackyn_server.store.routes import RouteRow

Section = dict[str, Any]

APP_PRIORITY = 10_000  # above the rule-length priorities of an operator's own routers
CONFIRM_PRIORITY = 1_000_000
IDLE_CONNECTION = "1s"  # at the default, an idle connection to the old instance stayed 27 s after a switch
IDLE_CONNECTIONS_PER_HOST = 2048  # at 200, 400 concurrent requests left 7,758 TIME_WAIT in 7 s
HOLD_ANSWER_BYTES = 4096
HARMLESS_HEADER = "X-Stackyn-Hold"  # naming one keeps visitors' credentials from the hold endpoint
NOTHING = "noop@internal"
TRANSPORT, TO_HTTPS, MARKER = "stackyn-apps", "stackyn-to-https", "stackyn-marker"
UNFORGED = "stackyn-unforged"


@dataclass(frozen=True, slots=True)
class Rendered:
    """`refused` says for each host that was left out why: one bad value never keeps other apps from being served."""

    configuration: Section
    refused: Mapping[str, RouteRefused] = field(default_factory=dict)

    def as_text(self) -> str:
        """Return JSON, which is YAML too; equal input gives equal text."""
        text = json.dumps(self.configuration, sort_keys=True, separators=(",", ":"))
        if "{{" in text:
            raise RouteRefused("The route file would hold template text.")
        return text + "\n"


def write(frame: Frame, mark: Mark, routes: Sequence[RouteRow]) -> Page:
    """Render and read back: the publisher's `Writer` for Traefik. Raises `RouteRefused` or `RouteFileInvalid`."""
    rendered = render(frame, mark, routes)
    text = rendered.as_text()
    validate(text, [METRICS, *(entry_point.name for entry_point in frame.entry_points)])
    return Page(text, rendered.refused)


def marker_answer(mark: Mark) -> str:
    return f"http://stackyn.internal/{mark}"


def site_answer(instance: int, mark: Mark) -> str:
    return f"http://stackyn.internal/{alphabet.number(instance)}/{mark}"


def render(frame: Frame, mark: Mark, routes: Sequence[RouteRow]) -> Rendered:
    """Return the configuration that serves `routes`, in no particular order. Raises `RouteRefused` for a bad frame."""
    sites, refused = assign(frame, routes)
    routers: Section = dict(_markers(frame))
    services: Section = {}
    middlewares: Section = {MARKER: _redirect(marker_answer(mark)), UNFORGED: _without("Forwarded")}
    if frame.https_port is not None:
        middlewares[TO_HTTPS] = {
            "redirectScheme": {
                "scheme": "https",
                "port": str(alphabet.port(frame.https_port)),
                "permanent": True,
            }
        }
    if frame.metrics_port is not None:
        routers[fallback.ANSWER] = fallback.router()
        middlewares.update(fallback.middlewares(frame.allowed_origins))
        services[fallback.SERVICE] = _service(fallback.server(frame.metrics_port), passHostHeader=False)
    for site in sites:
        services[site.key] = _service(site.url)
        middlewares[_confirmation(site)] = _redirect(site_answer(site.instance, mark))
        middlewares.update(_holds(frame, site))
        routers.update(_routers(frame, site))
    http = {
        "routers": routers,
        "middlewares": middlewares,
        "serversTransports": {TRANSPORT: _transport()},
        **({"services": services} if services else {}),  # the proxy refuses a file with an empty map
    }
    return Rendered({"http": http, **_tls(frame)}, refused)


def _routers(frame: Frame, site: Site) -> Iterator[tuple[str, Section]]:
    rule = " || ".join(f"Host(`{host}`)" for host in site.hosts)
    holds = list(_holds(frame, site))
    for entry_point in frame.entry_points:
        name = alphabet.word(entry_point.name, "An entry point")
        redirected = frame.https_port is not None and not entry_point.tls
        before = [UNFORGED, *([TO_HTTPS] if redirected else holds)]
        after_all = [fallback.MIDDLEWARE] if site.speaks_json and frame.metrics_port is not None else []
        shared = {"entryPoints": [name], "service": site.key, **_router_tls(frame, entry_point)}
        yield (
            f"{site.key}-{name}",
            {"rule": rule, "priority": APP_PRIORITY, "middlewares": [*before, *after_all], **shared},
        )
        yield (
            f"confirm-{site.key}-{name}",
            {
                "rule": f"({rule}) && Path(`{frame.confirm_path}`)",
                "priority": CONFIRM_PRIORITY,
                "middlewares": [_confirmation(site), *before],
                **shared,
            },
        )


def _markers(frame: Frame) -> Iterator[tuple[str, Section]]:
    for entry_point in frame.entry_points:
        name = alphabet.word(entry_point.name, "An entry point")
        yield (
            f"marker-{name}",
            {
                "rule": f"Host(`{frame.marker_host}`)",
                "priority": CONFIRM_PRIORITY,
                "entryPoints": [name],
                "service": NOTHING,
                "middlewares": [MARKER],
                **({"tls": {}} if entry_point.tls else {}),  # never a certificate of its own
            },
        )


def _router_tls(frame: Frame, entry_point: EntryPoint) -> Section:
    if not entry_point.tls:
        return {}
    if not frame.certificate_resolver:
        return {"tls": {}}
    return {
        "tls": {"certResolver": alphabet.word(frame.certificate_resolver, "[ingress] certificate_resolver")}
    }


def _holds(frame: Frame, site: Site) -> Section:
    """Return the chain in front of a held app, in order: turn i of k waits and answers 200, the last may refuse."""
    if site.held_app is None or frame.hold_port is None:
        return {}
    turns, port = frame.hold_turns, alphabet.port(frame.hold_port)
    return {
        f"hold-{site.key}-{turn:02}": {
            "forwardAuth": {
                "address": f"http://127.0.0.1:{port}/hold/{site.held_app}/{turn}/{turns}",
                "trustForwardHeader": False,
                "authRequestHeaders": [HARMLESS_HEADER],
                "maxResponseBodySize": HOLD_ANSWER_BYTES,
            }
        }
        for turn in range(1, turns + 1)
    }


def _confirmation(site: Site) -> str:
    return f"confirm-{site.key}"


def _redirect(location: str) -> Section:
    return {"redirectRegex": {"regex": "^.+$", "replacement": location}}


def _without(header: str) -> Section:
    """Take a request header away. The proxy itself does so with forged X-Forwarded-*, but knows nothing of RFC 7239."""
    return {"headers": {"customRequestHeaders": {header: ""}}}


def _service(url: str, **more: bool) -> Section:
    return {"loadBalancer": {"servers": [{"url": url}], "serversTransport": TRANSPORT, **more}}


def _transport() -> Section:
    return {
        "maxIdleConnsPerHost": IDLE_CONNECTIONS_PER_HOST,
        "forwardingTimeouts": {"idleConnTimeout": IDLE_CONNECTION},
    }


def _tls(frame: Frame) -> Section:
    if frame.certificate is None:
        return {}
    chain, key = (alphabet.path(path, "A certificate's path") for path in frame.certificate)
    pair = {"certFile": chain, "keyFile": key}
    return {"tls": {"certificates": [pair], "stores": {"default": {"defaultCertificate": pair}}}}
