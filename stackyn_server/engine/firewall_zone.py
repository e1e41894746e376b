"""Put the rules of one kind of container before the host's own rules, and find out whether they are still there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackyn_server.engine.client import Engine
from stackyn_server.engine.iptables import change, run
from stackyn_server.engine.networks import app_interfaces, build_interfaces

_CHAIN_PREFIX = "STACKYN-"
_TO_HOST = "INPUT"


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


async def write_rules(binary: str, zone: Zone, rules: Sequence[str], *, closes_host: bool = True) -> bool:
    """Call `rules` first from FORWARD, and from INPUT where `closes_host`. Return whether anything was missing.

    `rules` have the form in which iptables lists them, because they are compared with its list.
    """
    listed = (await run(binary, "-S")).splitlines()
    places = [_TO_HOST] * closes_host + forwarding_places(listed)
    lines = (
        []
        if _has_rules(listed, zone, rules)
        else [f":{zone.chain} - [0:0]", f":{zone.refusing} - [0:0]", *rules]
    )
    for place in (_TO_HOST, *forwarding_places(listed)):
        if _leads(listed, place, zone.jump) == (place in places):
            continue
        lines += [f"-D {place} {zone.jump}"] * listed.count(f"-A {place} {zone.jump}")
        if place in places:
            lines.append(f"-I {place} 1 {zone.jump}")
    if lines:
        await change(binary, lines)
    return bool(lines)


def forwarding_places(listed: Sequence[str]) -> list[str]:
    """Return DOCKER-USER where it exists, and FORWARD too unless its first rule calls DOCKER-USER.

    The engine removes that rule for a moment while a network is made, and puts it back in the first place.
    """
    first = next((line for line in listed if line.startswith("-A FORWARD ")), "")
    if "-N DOCKER-USER" not in listed:
        return ["FORWARD"]
    return ["DOCKER-USER"] if first == "-A FORWARD -j DOCKER-USER" else ["DOCKER-USER", "FORWARD"]


def _has_rules(listed: Sequence[str], zone: Zone, rules: Sequence[str]) -> bool:
    chains = (zone.chain, zone.refusing)
    return [line for line in listed if line.startswith(tuple(f"-A {chain} " for chain in chains))] == list(
        rules
    ) and all(f"-N {chain}" in listed for chain in chains)


def _leads(listed: Sequence[str], place: str, jump: str) -> bool:
    """Return whether only jumps of ours and of other installations, for their own bridges, precede our jump."""
    for line in listed:
        if line == f"-A {place} {jump}":
            return True
        if line.startswith(f"-A {place} ") and f" -j {_CHAIN_PREFIX}" not in line:
            return False
    return False
