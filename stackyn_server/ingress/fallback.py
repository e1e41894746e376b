"""The proxy's JSON error for clients of the API while this server can't be reached.

Traefik has no static responses, but it interprets plugins. Our plugin answers on the loopback entry point for metrics,
and the `errors` middleware of the API's routers replaces a 502 or 504 with that answer. If Traefik can't load the
plugin, clients get Traefik's own text.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from stackyn_server.ingress import validators
from stackyn_server.ingress.entry_points import LOOPBACK, METRICS

MODULE = "stackyn.internal/unavailable"
PLUGIN = "stackyn"
PLUGINS = Path("plugins-local/src")  # where Traefik looks, below its working directory
SOURCES = Path(__file__).parent / "unavailable"
UNREACHABLE = ("502", "504")  # a 503 comes from the API itself and says more
MIDDLEWARE = SERVICE = "stackyn-unavailable"
ANSWER = "stackyn-unavailable-answer"
_STATUS = 503

Section = dict[str, Any]


def install(directory: Path) -> None:
    """Copy the plugin below the proxy's working directory. Blocking."""
    plugin = directory / PLUGINS / MODULE
    plugin.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SOURCES / "unavailable.go", plugin / "unavailable.go")
    shutil.copyfile(SOURCES / "manifest.yml", plugin / ".traefik.yml")


def router() -> Section:
    """Return the router of the plugin, on the loopback entry point only."""
    rule = f"Host(`{LOOPBACK}`)"
    return {"rule": rule, "entryPoints": [METRICS], "service": "noop@internal", "middlewares": [ANSWER]}


def middlewares(origins: tuple[str, ...]) -> Section:
    """Return the plugin's middleware and the `errors` middleware. Leaves out `origins` that aren't valid."""
    allowed = [origin for origin in origins if validators.is_origin(origin)]
    return {
        ANSWER: {"plugin": {PLUGIN: {"origins": allowed}}},
        MIDDLEWARE: {
            "errors": {
                "status": list(UNREACHABLE),
                "statusRewrites": dict.fromkeys(UNREACHABLE, _STATUS),
                "service": SERVICE,
                "query": "/",
            }
        },
    }
