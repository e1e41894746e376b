"""Who owns which host name. A site is an app, or a part of ourselves, behind the proxy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stackyn_server.domain.ids import AppId
from stackyn_server.domain.seats import address_of
from stackyn_server.ingress import alphabet
from stackyn_server.ingress.alphabet import RouteRefused
from stackyn_server.ingress.frame import Frame
from stackyn_server.store.routes import RouteRow, RouteState


@dataclass(frozen=True, slots=True)
class Site:
    key: str
    hosts: tuple[str, ...]
    url: str
    instance: int
    held_app: AppId | None = None
    speaks_json: bool = False


def assign(frame: Frame, routes: Sequence[RouteRow]) -> tuple[list[Site], dict[str, RouteRefused]]:
    """Give each host one owner: first ourselves, then the slugs, then custom domains in the order of their apps."""
    refused: dict[str, RouteRefused] = {}
    taken = {frame.marker_host}
    sites = [
        Site(
            site.label,
            (frame.host_of(site.label),),
            alphabet.server_url(site.address, site.port),
            0,
            speaks_json=site.speaks_json,
        )
        for site in frame.own_sites
    ]
    taken.update(host for site in sites for host in site.hosts)
    ordered = sorted(routes, key=lambda route: route.app)
    slugs = {route.app: _claim([f"{route.slug}.{frame.base_domain}"], taken, refused) for route in ordered}
    for route in ordered:
        hosts = slugs[route.app] + _claim(sorted(route.hosts), taken, refused)
        if not hosts:
            continue
        try:
            sites.append(_site(frame, route, hosts))
        except RouteRefused as error:
            refused.update(dict.fromkeys(hosts, error))
    return sites, refused


def _claim(names: Iterable[str], taken: set[str], refused: dict[str, RouteRefused]) -> tuple[str, ...]:
    """Return those of `names` that are host names and nobody's yet; note the reason for the others."""
    claimed = []
    for name in names:
        try:
            host = alphabet.host(name)
        except RouteRefused as error:
            refused[name] = error
            continue
        if host in taken:
            refused[host] = RouteRefused("The host name is already in use on this server.", "Choose another.")
            continue
        taken.add(host)
        claimed.append(host)
    return tuple(claimed)


def _site(frame: Frame, route: RouteRow, hosts: tuple[str, ...]) -> Site:
    held = route.state is RouteState.HELD
    if held and frame.hold_port is None:
        raise RouteRefused(
            "The app can't be held: this server has no hold endpoint.",
            "It is a fault of the server's set-up: tell its operator.",
        )
    try:
        address = address_of(frame.subnet, route.seat, route.slot)
    except ValueError as error:
        raise RouteRefused("The app's address lies outside the configured [network] subnet.") from error
    return Site(
        f"app-{alphabet.number(route.app)}",
        hosts,
        alphabet.server_url(address, route.port, route.protocol),
        alphabet.number(route.instance),
        route.app if held else None,
    )
