"""Which rules are written for apps and builds, and where they are called from."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

import pytest

from stackyn_server import config
from stackyn_server.engine import firewall, firewall_zone
from stackyn_server.engine.client import Engine
from stackyn_server.engine.firewall_zone import app_zone, forwarding_places

ALLOWED = IPv4Network("10.0.5.0/24")
ENGINES_OWN = ["-P INPUT ACCEPT", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j RETURN"]


class Tables:
    """iptables in memory: `listed` is what it lists, `written` what was changed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listed = list(ENGINES_OWN)
        self.written: list[str] = []
        monkeypatch.setattr(firewall_zone, "run", self._run)
        monkeypatch.setattr(firewall_zone, "change", self._change)
        monkeypatch.setattr(firewall, "resolvers_of_host", lambda: [IPv4Address("10.0.0.53")])

    async def _run(self, binary: str, *arguments: str) -> str:
        return "\n".join(self.listed if binary == "iptables" else ENGINES_OWN)

    async def _change(self, binary: str, lines: Iterable[str]) -> None:
        if binary == "iptables":
            self.written = list(lines)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Tables:
    return Tables(monkeypatch)


def an_engine(*, close_host: bool = True) -> Engine:
    network = config.NetworkSettings(close_host=close_host, allowed_private=(ALLOWED,))
    return Engine(config.EngineSettings(), network, "an installation")


def rules_of(lines: Iterable[str], chain: str) -> list[str]:
    return [line.removeprefix(f"-A {chain} ") for line in lines if line.startswith(f"-A {chain} ")]


async def test_apps_reach_what_they_need_before_all_is_refused(tables: Tables) -> None:
    engine = an_engine()
    zone = app_zone(engine)

    await firewall.restrict_apps(engine, [80, 443])

    rules = rules_of(tables.written, zone.chain)
    assert rules[:-16] == [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        "-p tcp -m addrtype --dst-type LOCAL -m tcp --dport 80 -j RETURN",
        "-p tcp -m conntrack --ctstate DNAT --ctorigdstport 80 -j RETURN",
        "-p tcp -m addrtype --dst-type LOCAL -m tcp --dport 443 -j RETURN",
        "-p tcp -m conntrack --ctstate DNAT --ctorigdstport 443 -j RETURN",
        "-d 10.0.0.53/32 -p udp -m udp --dport 53 -j RETURN",
        "-d 10.0.0.53/32 -p tcp -m tcp --dport 53 -j RETURN",
        "-d 10.0.5.0/24 -j RETURN",
    ]
    assert all(rule.endswith(f"-j {zone.refusing}") for rule in rules[-16:]), rules[-16:]
    assert {f"-d {network} -j {zone.refusing}" for network in firewall.PRIVATE} < set(rules)
    assert f"-m addrtype ! --dst-type UNICAST -j {zone.refusing}" in rules, "every address of this host"


async def test_builds_have_no_way_to_the_ingress_or_for_answers(tables: Tables) -> None:
    await firewall.restrict_builds(an_engine(), (ALLOWED,))

    assert not [line for line in tables.written if "ESTABLISHED" in line or "LOCAL" in line]


async def test_rules_are_called_first_from_both_ways_of_a_packet(tables: Tables) -> None:
    engine = an_engine()

    await firewall.restrict_apps(engine, [80])

    jump = app_zone(engine).jump
    assert f"-I INPUT 1 {jump}" in tables.written
    assert f"-I DOCKER-USER 1 {jump}" in tables.written


async def test_rules_that_are_there_are_not_written_again(tables: Tables) -> None:
    engine = an_engine()
    await firewall.restrict_apps(engine, [80])
    tables.listed = _as_listed(tables)
    tables.written = []

    await firewall.restrict_apps(engine, [80])

    assert tables.written == []


async def test_rules_of_an_earlier_release_are_completed(tables: Tables) -> None:
    """It closed this host alone, and left forwarding open."""
    engine = an_engine()
    zone = app_zone(engine)
    tables.listed += [f"-N {zone.chain}", f"-A INPUT {zone.jump}", f"-A {zone.chain} -j DROP"]

    await firewall.restrict_apps(engine, [80])

    assert f":{zone.chain} - [0:0]" in tables.written, "the chain is written anew"
    assert f"-I DOCKER-USER 1 {zone.jump}" in tables.written
    assert not [line for line in tables.written if "INPUT" in line], "that jump is where it belongs"


async def test_an_open_host_keeps_private_networks_closed(tables: Tables) -> None:
    engine = an_engine(close_host=False)
    zone = app_zone(engine)
    tables.listed += [f"-A INPUT {zone.jump}"]

    await firewall.restrict_apps(engine, [80])

    assert [line for line in tables.written if "INPUT" in line] == [f"-D INPUT {zone.jump}"]
    assert f"-I DOCKER-USER 1 {zone.jump}" in tables.written
    rules = rules_of(tables.written, zone.chain)
    published, private = "-m conntrack --ctstate DNAT -j RETURN", f"-d 10.0.0.0/8 -j {zone.refusing}"
    assert rules.index(published) < rules.index(private)


@pytest.mark.parametrize(
    ("listed", "places"),
    [
        (["-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A FORWARD -j X"], ["DOCKER-USER"]),
        (["-N DOCKER-USER", "-A FORWARD -j X", "-A FORWARD -j DOCKER-USER"], ["DOCKER-USER", "FORWARD"]),
        (["-N DOCKER-USER", "-A FORWARD -j X"], ["DOCKER-USER", "FORWARD"]),
        (["-A FORWARD -j X"], ["FORWARD"]),
    ],
    ids=["usual", "another rule first", "while a network is made", "nftables"],
)
def test_rules_come_before_the_engines_in_any_state(listed: list[str], places: list[str]) -> None:
    assert forwarding_places(listed) == places


def _as_listed(tables: Tables) -> list[str]:
    """What iptables lists after `written` was applied to what it listed before."""
    inserted = [
        line.replace(" 1 ", " ", 1).replace("-I", "-A", 1) for line in tables.written if line[:2] == "-I"
    ]
    declared = [f"-N {line[1:].split()[0]}" for line in tables.written if line[0] == ":"]
    return [*declared, *inserted, *tables.listed, *(line for line in tables.written if line[:2] == "-A")]
