"""Where a host that a tenant named may lead this server."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.config import SourceSettings
from stackyn_server.outbound import own_addresses
from stackyn_server.outbound.host_vetting import (
    HostRefused,
    HostSilent,
    HostUnresolved,
    first_reachable,
    is_allowed_address,
    vet_host,
)

DEFAULT = SourceSettings()
LOCAL = SourceSettings(allowed_private=("127.0.0.0/8",), stall_seconds=2)
OWN = "1.1.1.1"  # as public as addresses of a machine are; nothing is sent to it
ROUTES = f"""Main:
  +-- 0.0.0.0/0 3 0 4
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 1.1.1.0/24 2 0 2
        |-- {OWN}
           /32 host LOCAL
        |-- 1.1.1.255
           /32 link BROADCAST
     |-- 127.0.0.0
        /32 link BROADCAST
        /8 host LOCAL
"""
INTERFACES = "26064700470000000000000000001111 02 40 00 80     eth0\n"


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    (tmp_path / "fib_trie").write_text(ROUTES)
    (tmp_path / "if_inet6").write_text(INTERFACES)
    return tmp_path


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have every name lead to these addresses, or raise this error."""

    def have(*answers: str | OSError) -> None:
        async def resolve(self: object, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
            if isinstance(answers[0], OSError):
                raise answers[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in answers]

        monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", resolve)

    return have


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "192.168.1.1"),
        *(
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
        ),
        *("255.255.255.255", "168.63.129.16", "192.88.99.1"),
        *(
            "::",
            "::1",
            "::7f00:1",
            "fe80::1",
            "fe80::1%eth0",
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
        ),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1"),
        *("2002:7f00:1::1", "2001:0:7f00:1::1", "2001:db8::1"),
    ],
)
def test_internal_addresses_are_out_of_reach(address: str) -> None:
    assert not is_allowed_address(DEFAULT, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "140.82.121.4", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_are_within_reach(address: str) -> None:
    assert is_allowed_address(DEFAULT, ipaddress.ip_address(address))


def test_private_network_is_reachable_when_allowed() -> None:
    settings = SourceSettings(allowed_private=("10.5.0.0/16", "fd00::/8"))
    addresses = ("10.5.1.1", "::ffff:10.5.1.1", "fd00::1", "10.6.0.1", "127.0.0.1")
    assert [is_allowed_address(settings, ipaddress.ip_address(a)) for a in addresses] == [
        True, True, True, False, False,
    ]  # fmt: skip


async def test_a_host_with_only_internal_addresses_is_refused() -> None:
    with pytest.raises(HostRefused):
        await vet_host(DEFAULT, "localhost", 8000)


async def test_this_machines_own_public_address_is_refused(
    resolves: Callable[..., None], kernel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves(OWN)
    assert await vet_host(DEFAULT, "host.test", 443), "the same address elsewhere: the test can fail"
    monkeypatch.setattr(own_addresses.own_networks, "__defaults__", (kernel,))

    with pytest.raises(HostRefused):
        await vet_host(DEFAULT, "host.test", 443)

    allowed = SourceSettings(allowed_private=(f"{OWN}/32",))
    assert await vet_host(allowed, "host.test", 443)


def test_own_addresses_are_those_of_the_kernel(kernel: Path) -> None:
    own = {str(network) for network in own_addresses.own_networks(kernel)}

    assert own == {f"{OWN}/32", "127.0.0.0/8", "2606:4700:4700::1111/128"}
    assert own_addresses.own_networks(kernel / "nothing") == frozenset()


def test_own_addresses_of_this_machine_are_found() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as local:
        local.connect(("127.0.0.1", 9))
        address = ipaddress.ip_address(local.getsockname()[0])

    assert any(address.version == own.version and address in own for own in own_addresses.own_networks())


async def test_only_the_permitted_addresses_of_a_host_are_kept(resolves: Callable[..., None]) -> None:
    resolves("169.254.169.254", "1.1.1.1", "10.0.0.1", "1.1.1.1", "8.8.8.8")

    addresses = await vet_host(DEFAULT, "host.test", 443)

    assert [str(address) for address in addresses] == ["1.1.1.1", "8.8.8.8"]


async def test_a_resolver_in_trouble_may_be_asked_again(resolves: Callable[..., None]) -> None:
    resolves(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))

    with pytest.raises(HostUnresolved) as failed:
        await vet_host(DEFAULT, "no-such-host.test", 443)

    assert failed.value.is_passing


async def test_the_first_address_that_accepts_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        addresses = (ipaddress.ip_address("127.0.0.2"), ipaddress.ip_address("127.0.0.1"))
        reached = await first_reachable(LOCAL, "localhost", listener.getsockname()[1], addresses)

    assert str(reached) == "127.0.0.1"


async def test_a_host_that_accepts_nowhere_is_named_with_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(HostSilent) as failed:
        await first_reachable(LOCAL, "host.test", port, (ipaddress.ip_address("127.0.0.1"),))

    assert f"host.test port {port}: " in failed.value.evidence
