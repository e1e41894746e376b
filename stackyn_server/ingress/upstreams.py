"""Assigns each host name to one upstream. An upstream is an app, or a part of this server, behind the proxy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stackyn_server.domain.ids import AppId
from stackyn_server.domain.seats import address_of
from stackyn_server.ingress import validators
from stackyn_server.ingress.render_context import RenderContext
from stackyn_server.ingress.validators import RouteRefused
from stackyn_server.store.routes import RouteRow, RouteState


@dataclass(frozen=True, slots=True)
class Upstream:
    key: str
    hosts: tuple[str, ...]
    url: str
    instance: int
    held_app: AppId | None = None
    is_api: bool = False


def assign_hosts(
    context: RenderContext, routes: Sequence[RouteRow]
) -> tuple[list[Upstream], dict[str, RouteRefused]]:
    """Give each host one owner: first this server, then the slugs, then custom domains in the order of app ids."""
    refused: dict[str, RouteRefused] = {}
    taken = {context.marker_host}
    upstreams = [
        Upstream(
            upstream.label,
            (context.host_of(upstream.label),),
            validators.server_url(upstream.address, upstream.port),
            0,
            is_api=upstream.is_api,
        )
        for upstream in context.own_upstreams
    ]
    taken.update(host for upstream in upstreams for host in upstream.hosts)
    ordered = sorted(routes, key=lambda route: route.app)
    slugs = {route.app: _claim([f"{route.slug}.{context.base_domain}"], taken, refused) for route in ordered}
    for route in ordered:
        hosts = slugs[route.app] + _claim(sorted(route.hosts), taken, refused)
        if not hosts:
            continue
        try:
            upstreams.append(_upstream(context, route, hosts))
        except RouteRefused as error:
            refused.update(dict.fromkeys(hosts, error))
    return upstreams, refused


def _claim(names: Iterable[str], taken: set[str], refused: dict[str, RouteRefused]) -> tuple[str, ...]:
    """Return those of `names` that are valid and free; add the reason for each of the others to `refused`."""
    claimed = []
    for name in names:
        try:
            host = validators.host(name)
        except RouteRefused as error:
            refused[name] = error
            continue
        if host in taken:
            refused[host] = RouteRefused("The host name is already in use on this server.", "Choose another.")
            continue
        taken.add(host)
        claimed.append(host)
    return tuple(claimed)


def _upstream(context: RenderContext, route: RouteRow, hosts: tuple[str, ...]) -> Upstream:
    is_held = route.state is RouteState.HELD
    if is_held and context.hold_port is None:
        raise RouteRefused(
            "The app can't be held: this server has no hold endpoint.",
            "It is a fault of the server's set-up: tell its operator.",
        )
    try:
        address = address_of(context.subnet, route.seat, route.slot)
    except ValueError as error:
        raise RouteRefused("The app's address lies outside the configured [network] subnet.") from error
    return Upstream(
        f"app-{validators.not_negative(route.app)}",
        hosts,
        validators.server_url(address, route.port, route.protocol),
        validators.not_negative(route.instance),
        route.app if is_held else None,
    )
