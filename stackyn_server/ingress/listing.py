"""`routes.json`, for people with a proxy of their own: which host names go to which address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stackyn_server.ingress.frame import Frame, Mark
from stackyn_server.ingress.publisher import Page
from stackyn_server.ingress.sites import assign
from stackyn_server.store.routes import RouteRow


def write(frame: Frame, mark: Mark, routes: Sequence[RouteRow]) -> Page:
    """Return `{"publication": "<epoch>-<n>", "routes": [{"hosts": […], "url": "http://…", "instance": n}, …]}`.

    The publisher's `Writer` without a proxy. Instance 0 is this server itself.
    """
    sites, refused = assign(frame, routes)
    listed = [{"hosts": list(site.hosts), "url": site.url, "instance": site.instance} for site in sites]
    return Page(json.dumps({"publication": str(mark), "routes": listed}, indent=1) + "\n", refused)


def read(text: str) -> dict[str, dict[str, Any]]:
    """Return the listed routes by host."""
    return {host: route for route in json.loads(text)["routes"] for host in route["hosts"]}
