"""`routes.json`, for an operator's own proxy: the address behind each host name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stackyn_server.ingress.publisher import RenderedFile
from stackyn_server.ingress.render_context import PublicationId, RenderContext
from stackyn_server.ingress.upstreams import assign_hosts
from stackyn_server.store.routes import RouteRow


def render_file(
    context: RenderContext, publication: PublicationId, routes: Sequence[RouteRow]
) -> RenderedFile:
    """Return `{"publication": "<epoch>-<n>", "routes": [{"hosts": […], "url": "http://…", "instance": n}, …]}`.

    The publisher's `Renderer` for `provider = "none"`. Instance 0 is this server itself.
    """
    upstreams, refused = assign_hosts(context, routes)
    listed = [{"hosts": [*each.hosts], "url": each.url, "instance": each.instance} for each in upstreams]
    text = json.dumps({"publication": str(publication), "routes": listed}, indent=1)
    return RenderedFile(f"{text}\n", refused)


def read(text: str) -> dict[str, dict[str, Any]]:
    """Return the listed routes by host."""
    return {host: route for route in json.loads(text)["routes"] for host in route["hosts"]}
