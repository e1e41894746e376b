"""Validates a rendered route file: finds what the proxy would reject, or leave out without an error."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from stackyn_server.errors import StackynError

_HOSTS = r"Host\(`[a-z0-9.-]+`\)(?: \|\| Host\(`[a-z0-9.-]+`\))*"
_RULE = re.compile(rf"{_HOSTS}|\({_HOSTS}\) && Path\(`/\.stackyn-[0-9a-f]+`\)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SERVER = re.compile(r"(?:http|h2c)://[0-9.]+:[0-9]+", re.ASCII)


class RouteFileInvalid(StackynError):
    """The proxy could not serve from this route file; `message` names the first fault."""

    code, retryable = "ROUTE_FILE_INVALID", True


def validate(text: str, entry_points: Collection[str]) -> None:
    """Raise `RouteFileInvalid` unless `text` is a complete configuration without dangling references."""
    if "{{" in text:
        raise RouteFileInvalid("The route file holds template text.")
    try:
        http: dict[str, dict[str, Any]] = json.loads(text)["http"]
        routers = http["routers"]
        middlewares, transports = http["middlewares"], http["serversTransports"]
        services = http.get("services", {})
        for group in (routers, middlewares, transports, services):
            _named(group)
        for name, router in routers.items():
            _router(name, router, services, middlewares, entry_points)
        for name, service in services.items():
            _service(name, service["loadBalancer"], transports)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RouteFileInvalid("The route file is not a whole configuration.") from error


def _named(group: dict[str, Any]) -> None:
    for name in group:
        _require(_NAME.fullmatch(name) is not None, "The route file holds a name that the proxy can't use.")


def _router(
    name: str,
    router: dict[str, Any],
    services: Collection[str],
    middlewares: Collection[str],
    entry_points: Collection[str],
) -> None:
    service = router["service"]
    _require(_RULE.fullmatch(router["rule"]) is not None, f"Router {name} has a rule that isn't ours.")
    _require(service in services or service == "noop@internal", f"Router {name} has no service.")
    _require(set(router.get("middlewares", ())) <= set(middlewares), f"Router {name} lacks a middleware.")
    _require(
        bool(router["entryPoints"]) and set(router["entryPoints"]) <= set(entry_points),
        f"Router {name} names an entry point that the proxy doesn't have.",
    )


def _service(name: str, balancer: dict[str, Any], transports: Collection[str]) -> None:
    urls = [server["url"] for server in balancer["servers"]]
    _require(
        len(urls) == 1 and _SERVER.fullmatch(urls[0]) is not None, f"Service {name} has no usable address."
    )
    _require(balancer["serversTransport"] in transports, f"Service {name} has no transport.")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RouteFileInvalid(message)
