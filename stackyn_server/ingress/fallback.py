"""What visitors of the API get from the proxy while this server can't be reached: JSON, as of the API itself.

Traefik has no answer of its own to give, but it interprets plugins. Ours answers on the loopback entry point for
metrics, and the `errors` middleware of the API's routers fetches from there what takes the place of a 502 or 504. A
plugin that could not be loaded would only give back Traefik's own text.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stackyn_server.ingress import validators
from stackyn_server.ingress.entry_points import LOOPBACK, METRICS

MODULE = "stackyn.internal/unavailable"
PLUGIN = "stackyn"
PLUGINS = Path("plugins-local/src")  # where Traefik looks, below its working directory
SOURCES = Path(__file__).parent / "unavailable"
UNREACHABLE = ("502", "504")  # a 503 is the API's own and says more
MIDDLEWARE = SERVICE = "stackyn-unavailable"
ANSWER = "stackyn-unavailable-answer"
_STATUS = 503

Section = dict[str, Any]


def arguments() -> Iterator[str]:
    """Yield what the proxy's static configuration needs for it."""
    yield f"experimental.localplugins.{PLUGIN}.modulename={MODULE}"


def install(directory: Path) -> None:
    """Copy the plugin below the proxy's working directory. Blocking."""
    place = directory / PLUGINS / MODULE
    place.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SOURCES / "unavailable.go", place / "unavailable.go")
    shutil.copyfile(SOURCES / "manifest.yml", place / ".traefik.yml")


def router() -> Section:
    """Return the router that answers, on the loopback entry point alone."""
    rule = f"Host(`{LOOPBACK}`)"
    return {"rule": rule, "entryPoints": [METRICS], "service": "noop@internal", "middlewares": [ANSWER]}


def server(metrics_port: int) -> str:
    """Return where that router is reached; by its own name, not the visitor's."""
    return validators.server_url(LOOPBACK, metrics_port)


def middlewares(origins: tuple[str, ...]) -> Section:
    """`origins` that can't be written into the route file are left out."""
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
