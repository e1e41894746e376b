"""Firewall rules for containers: apps and builds connect to the internet, and to nothing private or of this host.

Docker lets a container reach every listener of its host through the gateway's address, and a rule in DOCKER-USER does
not prevent that (tried on 20.10 to 29). So our chains are called from INPUT, by the names of our bridges. For traffic
that goes through this host they are called from DOCKER-USER too, which precedes the engine's own rules in FORWARD. An
engine that writes nftables itself (29, if configured) has no DOCKER-USER; then they are called from FORWARD. The kernel
drops what either kind of its tables (iptables or nftables) refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.engine.client import Engine
from stackyn_server.engine.firewall_zone import Zone, app_zone, build_zone, write_rules
from stackyn_server.engine.iptables import IPV4, IPV6, TablesRefused
from stackyn_server.engine.resolvers import resolvers_of_host

_NAME_SERVICE_PORT = 53
_HAS_IPV6 = Path("/proc/net/if_inet6")

# Not the internet: RFC 6890 (this network, private, shared, link-local with the metadata services, protocol
# assignments, benchmarks, multicast, reserved), loopback, and Azure's service on a public address.
PRIVATE = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",
        ),
    )
)


class BuildsNotRestricted(DeploymentFailed):
    """Builds could reach private networks, so none is run. `reason` is for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            Failure(
                FailureCode.INTERNAL,
                "This server builds nothing: its private network can't be closed to builds.",
                "The operator finds the reason in the server's log.",
            )
        )
        self.reason = reason
        self.add_note(reason)


async def restrict_apps(engine: Engine, ingress_ports: Sequence[int]) -> bool:
    """Restrict apps to the internet, the ingress, the host's name servers and `[network] allowed_private`.

    Call it at start and on a period. Returns whether it wrote any rule. Raises `TablesRefused`.
    """
    zone, network = app_zone(engine), engine.network
    rules = [*_answers(zone), *_ingress(zone, ingress_ports, closes_host=network.close_host)]
    return await _restrict(engine, zone, rules, network.allowed_private, closes_host=network.close_host)


async def restrict_builds(engine: Engine, allowed: Sequence[IPv4Network]) -> bool:
    """Restrict builds to the internet, the host's name servers and the networks `allowed`.

    Call it before each build and on a period. Returns whether it wrote any rule. Raises `BuildsNotRestricted`.
    """
    try:
        return await _restrict(engine, build_zone(engine), [], allowed)
    except TablesRefused as refused:
        raise BuildsNotRestricted(str(refused)) from refused


async def _restrict(
    engine: Engine,
    zone: Zone,
    first: Sequence[str],
    allowed: Sequence[IPv4Network],
    *,
    closes_host: bool = True,
) -> bool:
    """Read the rules, and write them where they differ: the rules `first`, then those of all kinds of containers."""
    resolvers = await asyncio.to_thread(resolvers_of_host)
    private = [*PRIVATE, engine.network.subnet, engine.network.build_subnet]
    rules = [*first, *_rules(zone, resolvers, allowed, private)]
    has_written = await write_rules(IPV4, zone, rules, closes_host=closes_host)
    if await asyncio.to_thread(_HAS_IPV6.exists):
        refused = [
            f"-A {zone.chain} -j {zone.refusing}",
            f"-A {zone.refusing} -j DROP",
        ]  # our bridges have none
        has_written |= await write_rules(IPV6, zone, refused)
    return has_written


def _answers(zone: Zone) -> Iterator[str]:
    """Let apps answer connections: of the ingress, on this host or in a container of the operator's.

    Nobody opens connections to a build.
    """
    yield f"-A {zone.chain} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"


def _ingress(zone: Zone, ports: Sequence[int], *, closes_host: bool) -> Iterator[str]:
    """Let apps reach each other's host names: ports of this host, or those that lead to the operator's proxy in a
    container."""
    for port in ports:
        yield f"-A {zone.chain} -p tcp -m addrtype --dst-type LOCAL -m tcp --dport {port:d} -j RETURN"
        yield f"-A {zone.chain} -p tcp -m conntrack --ctstate DNAT --ctorigdstport {port:d} -j RETURN"
    if not closes_host:  # its published ports are open like its others
        yield f"-A {zone.chain} -m conntrack --ctstate DNAT -j RETURN"


def _rules(
    zone: Zone,
    resolvers: Sequence[IPv4Address],
    allowed: Sequence[IPv4Network],
    private: Sequence[IPv4Network],
) -> Iterator[str]:
    """Yield rules in the form in which iptables lists them. They end with RETURN, not ACCEPT, so that the host's own
    rules still apply. Connections are refused, not dropped: the timeouts of build tools are minutes."""
    for resolver in resolvers:
        for protocol in ("udp", "tcp"):
            port = f"-p {protocol} -m {protocol} --dport {_NAME_SERVICE_PORT}"
            yield f"-A {zone.chain} -d {resolver}/32 {port} -j RETURN"
    for network in allowed:
        yield f"-A {zone.chain} -d {network} -j RETURN"
    # Traffic to this host: to every address that its interfaces have at that moment.
    yield f"-A {zone.chain} -m addrtype ! --dst-type UNICAST -j {zone.refusing}"
    # A published port of this host: the host's address has been replaced by the container's.
    yield f"-A {zone.chain} -m conntrack --ctstate DNAT -j {zone.refusing}"
    for network in private:
        yield f"-A {zone.chain} -d {network} -j {zone.refusing}"
    yield f"-A {zone.refusing} -p tcp -j REJECT --reject-with tcp-reset"
    yield f"-A {zone.refusing} -j REJECT --reject-with icmp-admin-prohibited"
