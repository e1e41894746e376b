"""Put the rules of one kind of traffic before the host's own rules, and find out whether they are still there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackyn_server.engine.client import Engine
from stackyn_server.engine.iptables import IPV4, change, run
from stackyn_server.engine.networks import app_interfaces, build_interfaces

_CHAIN_PREFIX = "STACKYN-"
_TO_HOST, _FROM_HOST = "INPUT", "OUTPUT"
_NEW_LOCAL = "-o lo -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN"


@dataclass(frozen=True, slots=True)
class Zone:
    """The containers on bridges whose interface names begin with `interfaces`. What they send goes through `chain`;
    `refusing` is the chain that refuses it."""

    interfaces: str
    chain: str
    refusing: str

    @property
    def jump(self) -> str:
        return f"-i {self.interfaces}+ -j {self.chain}"


def app_zone(engine: Engine) -> Zone:
    return Zone(app_interfaces(engine), chain_name(engine), f"{chain_name(engine)}-F")


def build_zone(engine: Engine) -> Zone:
    return Zone(build_interfaces(engine), f"{chain_name(engine)}-B", f"{chain_name(engine)}-R")


def chain_name(engine: Engine) -> str:
    """Return the beginning of the names of all our chains, and the name of the apps' own."""
    return f"{_CHAIN_PREFIX}{engine.labels.short}"


def local_chain_name(engine: Engine) -> str:
    return f"{chain_name(engine)}-L"


async def write_rules(binary: str, zone: Zone, rules: Sequence[str], *, closes_host: bool = True) -> bool:
    """Call `rules` first from FORWARD, and from INPUT where `closes_host`. Return whether anything was missing.

    `rules` have the form in which iptables lists them, because they are compared with its list.
    """
    listed = (await run(binary, "-S")).splitlines()
    places = {_TO_HOST: closes_host, **dict.fromkeys(forwarding_places(listed), True)}
    return await _write(binary, listed, (zone.chain, zone.refusing), rules, zone.jump, places)


async def write_local_rules(engine: Engine, rules: Sequence[str]) -> bool:
    """Call `rules` first for new connections that programs of this host open to this host over IPv4. Return whether
    anything was missing."""
    listed = (await run(IPV4, "-S")).splitlines()
    chain = local_chain_name(engine)
    return await _write(IPV4, listed, (chain,), rules, f"{_NEW_LOCAL} -j {chain}", {_FROM_HOST: bool(rules)})


def forwarding_places(listed: Sequence[str]) -> list[str]:
    """Return DOCKER-USER where it exists, and FORWARD too unless its first rule calls DOCKER-USER.

    The engine removes that rule for a moment while a network is made, and puts it back in the first place.
    """
    first = next((line for line in listed if line.startswith("-A FORWARD ")), "")
    if "-N DOCKER-USER" not in listed:
        return ["FORWARD"]
    return ["DOCKER-USER"] if first == "-A FORWARD -j DOCKER-USER" else ["DOCKER-USER", "FORWARD"]


async def _write(
    binary: str,
    listed: Sequence[str],
    chains: Sequence[str],
    rules: Sequence[str],
    jump: str,
    places: Mapping[str, bool],
) -> bool:
    """Write what is missing in one step: the rules of `chains`, and the jump where `places` is true, or not there."""
    lines = [] if _has_rules(listed, chains, rules) else [*(f":{chain} - [0:0]" for chain in chains), *rules]
    for place, is_called in places.items():
        if _leads(listed, place, jump) == is_called:
            continue
        lines += [f"-D {place} {jump}"] * listed.count(f"-A {place} {jump}")
        if is_called:
            lines.append(f"-I {place} 1 {jump}")
    if lines:
        await change(binary, lines)
    return bool(lines)


def _has_rules(listed: Sequence[str], chains: Sequence[str], rules: Sequence[str]) -> bool:
    there = [line for line in listed if line.startswith(tuple(f"-A {chain} " for chain in chains))]
    return there == list(rules) and all(f"-N {chain}" in listed for chain in chains)


def _leads(listed: Sequence[str], place: str, jump: str) -> bool:
    """Return whether only jumps of ours and of other installations, for their own traffic, precede our jump."""
    for line in listed:
        if line == f"-A {place} {jump}":
            return True
        if line.startswith(f"-A {place} ") and f" -j {_CHAIN_PREFIX}" not in line:
            return False
    return False
