"""Firewall rules for containers: apps may not connect to this host, builds may not connect to anything private.

Docker lets a container reach every listener of its host through the gateway's address, and a rule in DOCKER-USER does
not prevent that (tried on 20.10 to 29). So our chains are called from INPUT, by the names of our bridges. For traffic
that builds send through this host they are called from DOCKER-USER too, which precedes the engine's own rules in
FORWARD. An engine that writes nftables itself (29, if configured) has no DOCKER-USER; then they are called from
FORWARD. The kernel drops what either kind of its tables (iptables or nftables) refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.engine.client import Engine
from stackyn_server.engine.iptables import IPV4, IPV6, TablesRefused, change, run
from stackyn_server.engine.networks import app_interfaces, build_interfaces
from stackyn_server.engine.resolvers import resolvers_of_host

_NAME_SERVICE_PORT = 53
_HAS_IPV6 = Path("/proc/net/if_inet6")
_CHAIN_PREFIX = "STACKYN-"

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
    """Write the rules that keep apps from the host, and return whether they were missing.

    Call it at start and on a period. Raises `TablesRefused`.
    """
    resolvers = await asyncio.to_thread(resolvers_of_host)
    chain = chain_name(engine)
    was_missing = await _write_host_rules(IPV4, engine, list(_host_rules(chain, ingress_ports, resolvers)))
    with suppress(TablesRefused):  # our bridges have no IPv6 yet
        await _write_host_rules(IPV6, engine, [f"-A {chain} -j DROP"])
    return was_missing


async def restrict_builds(engine: Engine, allowed: Sequence[IPv4Network]) -> bool:
    """Restrict builds to the internet, the host's name servers and the networks `allowed`.

    Call it before each build and on a period: it reads the rules, writes them only where they differ, and returns
    whether it wrote any. Raises `BuildsNotRestricted`.
    """
    resolvers = await asyncio.to_thread(resolvers_of_host)
    chain, refusing = build_chain_name(engine), _refusing_chain_name(engine)
    private = [*PRIVATE, engine.network.subnet, engine.network.build_subnet]
    try:
        has_written = await _write_build_rules(
            IPV4, engine, list(_build_rules(chain, refusing, resolvers, allowed, private))
        )
        if await asyncio.to_thread(_HAS_IPV6.exists):
            rules = [f"-A {chain} -j {refusing}", f"-A {refusing} -j DROP"]  # our bridges have none
            has_written |= await _write_build_rules(IPV6, engine, rules)
    except TablesRefused as refused:
        raise BuildsNotRestricted(str(refused)) from refused
    return has_written


def chain_name(engine: Engine) -> str:
    return f"{_CHAIN_PREFIX}{engine.labels.short}"


def build_chain_name(engine: Engine) -> str:
    return f"{chain_name(engine)}-B"


def _refusing_chain_name(engine: Engine) -> str:
    return f"{chain_name(engine)}-R"


def _host_rules(chain: str, ports: Sequence[int], resolvers: Sequence[IPv4Address]) -> Iterator[str]:
    """The rules end with RETURN, not ACCEPT, so that the host's own rules still apply."""
    yield f"-A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
    for port in ports:
        yield f"-A {chain} -p tcp --dport {port:d} -j RETURN"
    yield from _resolver_rules(chain, resolvers)
    yield f"-A {chain} -j DROP"


def _build_rules(
    chain: str,
    refusing: str,
    resolvers: Sequence[IPv4Address],
    allowed: Sequence[IPv4Network],
    private: Sequence[IPv4Network],
) -> Iterator[str]:
    """Yield rules in the form in which iptables lists them, because they are compared with its list.

    Connections are refused, not dropped: the timeouts of build tools are minutes. Nobody opens connections to a build,
    so there is no rule for answers.
    """
    yield from _resolver_rules(chain, resolvers)
    for network in allowed:
        yield f"-A {chain} -d {network} -j RETURN"
    # Traffic to this host: to every address that its interfaces have at that moment.
    yield f"-A {chain} -m addrtype ! --dst-type UNICAST -j {refusing}"
    # A published port of this host: the host's address has been replaced by the container's.
    yield f"-A {chain} -m conntrack --ctstate DNAT -j {refusing}"
    for network in private:
        yield f"-A {chain} -d {network} -j {refusing}"
    yield f"-A {refusing} -p tcp -j REJECT --reject-with tcp-reset"
    yield f"-A {refusing} -j REJECT --reject-with icmp-admin-prohibited"


def _resolver_rules(chain: str, resolvers: Sequence[IPv4Address]) -> Iterator[str]:
    for resolver in resolvers:
        for protocol in ("udp", "tcp"):
            port = f"-p {protocol} -m {protocol} --dport {_NAME_SERVICE_PORT}"
            yield f"-A {chain} -d {resolver}/32 {port} -j RETURN"


async def _write_host_rules(binary: str, engine: Engine, rules: list[str]) -> bool:
    """Replace the chain in one step, then call it from INPUT. Return whether INPUT did not call it before."""
    await change(binary, [f":{chain_name(engine)} - [0:0]", *rules])
    jump = ("-i", f"{app_interfaces(engine)}+", "-j", chain_name(engine))
    try:
        await run(binary, "-C", "INPUT", *jump)
    except TablesRefused:  # there is no such rule
        await run(binary, "-I", "INPUT", "1", *jump)
        return True
    return False


async def _write_build_rules(binary: str, engine: Engine, rules: list[str]) -> bool:
    """Call these rules first from INPUT and FORWARD. Return whether anything was missing."""
    chains = (build_chain_name(engine), _refusing_chain_name(engine))
    jump = f"-i {build_interfaces(engine)}+ -j {build_chain_name(engine)}"
    listed = (await run(binary, "-S")).splitlines()
    places = [place for place in ("INPUT", *forwarding_places(listed)) if not _leads(listed, place, jump)]
    if (
        not places
        and [line for line in listed if line.startswith(tuple(f"-A {chain} " for chain in chains))] == rules
    ):
        return False
    lines = [f":{chain} - [0:0]" for chain in chains] + rules
    for place in places:
        lines += [f"-D {place} {jump}"] * listed.count(f"-A {place} {jump}")
        lines.append(f"-I {place} 1 {jump}")
    await change(binary, lines)
    return True


def forwarding_places(listed: Sequence[str]) -> list[str]:
    """Return DOCKER-USER where it exists, and FORWARD too unless its first rule calls DOCKER-USER.

    The engine removes that rule for a moment while a network is made, and puts it back in the first place.
    """
    first = next((line for line in listed if line.startswith("-A FORWARD ")), "")
    if "-N DOCKER-USER" not in listed:
        return ["FORWARD"]
    return ["DOCKER-USER"] if first == "-A FORWARD -j DOCKER-USER" else ["DOCKER-USER", "FORWARD"]


def _leads(listed: Sequence[str], place: str, jump: str) -> bool:
    """Return whether only jumps of other installations, for their own bridges, precede our jump."""
    for line in listed:
        if line == f"-A {place} {jump}":
            return True
        if line.startswith(f"-A {place} ") and f" -j {_CHAIN_PREFIX}" not in line:
            return False
    return False
