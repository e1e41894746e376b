"""Builders of contexts and routes with defaults, for tests of the ingress."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.render_context import OwnUpstream, RenderContext
from stackyn_server.store.routes import RouteRow, RouteState

SECRET = "0123456789abcdef0123456789abcdef"
PLAIN = EntryPoint("web", 80)
TLS = EntryPoint("websecure", 443, tls=True)


def a_context(**changes: Any) -> RenderContext:
    context = RenderContext(
        base_domain="example.test",
        subnet=IPv4Network("10.213.0.0/16"),
        secret=SECRET,
        entry_points=(PLAIN,),
        own_upstreams=(OwnUpstream("api", IPv4Address("127.0.0.1"), 8080),),
        hold_port=8081,
    )
    return replace(context, **changes)


def an_https_context(**changes: Any) -> RenderContext:
    return a_context(**{"entry_points": (PLAIN, TLS), "https_port": 443, **changes})


def a_route(app: int = 1, **changes: Any) -> RouteRow:
    route = RouteRow(
        app=AppId(app),
        slug=f"app{app}",
        hosts=(),
        state=RouteState.SERVING,
        instance=InstanceId(app * 10),
        seat=app - 1,
        slot=0,
        port=8000,
    )
    return replace(route, **changes)
