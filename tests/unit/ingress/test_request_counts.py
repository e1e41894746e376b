"""Parsing the proxy's metrics."""

from __future__ import annotations

from stackyn_server.ingress.request_counts import parse

METRICS = """\
# HELP traefik_service_requests_total How many HTTP requests processed on a service.
# TYPE traefik_service_requests_total counter
traefik_service_requests_total{code="200",method="GET",protocol="http",service="app-5@file"} 12
traefik_service_requests_total{code="404",method="POST",protocol="http",service="app-5@file"} 3
traefik_service_requests_total{code="101",method="GET",protocol="websocket",service="app-12@file"} 1e+06
traefik_service_requests_total{code="200",method="GET",protocol="http",service="api@file"} 9
traefik_service_requests_bytes_total{code="200",method="GET",protocol="http",service="app-7@file"} 99
"""


def test_all_requests_of_an_app_are_added_up() -> None:
    assert dict(parse(METRICS)) == {5: 15, 12: 1_000_000}
