"""Repository URLs that are accepted or refused, and the addresses that git may be led to."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.errors import InvalidRequest
from stackyn_server.source.host_vetting import first_reachable, is_allowed_address, vet_host
from stackyn_server.source.repository_url import parse_url

DEFAULT = SourceSettings()
LOCAL = SourceSettings(schemes=("https", "http"), allowed_private=("127.0.0.0/8",), stall_seconds=2)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("https://github.com/owner/name", "https://github.com/owner/name"),
        ("  https://GitHub.com/Owner/Name.git/ ", "https://github.com/Owner/Name.git"),
        ("https://host.test:443/a", "https://host.test/a"),
        ("https://host.test:8443/a", "https://host.test:8443/a"),
        ("https://host.test./a/b/c.git", "https://host.test/a/b/c.git"),
        ("HTTPS://host.test/a~b/c+d.git", "https://host.test/a~b/c+d.git"),
        ("https://192.0.2.7/a.git", "https://192.0.2.7/a.git"),
        ("https://[2001:DB8::1]:8443/a.git", "https://[2001:db8::1]:8443/a.git"),
        ("https://xn--bcher-kva.test/a%20b.git", "https://xn--bcher-kva.test/a%20b.git"),
    ],
)
def test_a_repository_url_is_normalised(text: str, normalised: str) -> None:
    assert parse_url(DEFAULT, text).url == normalised


REFUSED = [
    "",
    "github.com/owner/name",
    "http://github.com/owner/name",
    "ssh://git@github.com/owner/name",
    "git@github.com:owner/name.git",
    "git://github.com/owner/name",
    "file:///etc/passwd",
    "ext::sh -c id",
    "/srv/git/name.git",
    "--upload-pack=id",
    "https://",
    "https:///owner/name",
    "https://github.com",
    "https://github.com/",
    "https://user@github.com/owner/name",
    "https://user:secret-401@github.com/owner/name",
    "https://:@github.com/owner/name",
    "https://github.com/owner/name#main",
    "https://github.com/owner/name#",
    "https://github.com/owner/name?x=1",
    "https://github.com/owner/name?",
    "https://github.com:0/owner/name",
    "https://github.com:99999/owner/name",
    "https://github.com:x/owner/name",
    "https://[::1/owner/name",
    "https://[::1%25eth0]/owner/name",
    "https://github.com/owner/../name",
    "https://github.com/owner//name",
    "https://github.com/ow ner/name",
    "https://github.com/owner/na\nme",
    "https://github.com/owner/na\x00me",
    "https://github.com\\@evil.test/name",
    "https://github.com/owner/nämé",
    "https://g\u0131thub.com/owner/name",
    "https://-oProxyCommand/owner",
    "https://127.1/owner/name",
    "https://2130706433/owner/name",
    "https://0x7f.0.0.1/owner/name",
    "https://0x7f000001/owner/name",
    "https://host.test/" + "a" * 2048,
]


@pytest.mark.parametrize("text", REFUSED)
def test_other_urls_are_refused_for_the_form_field(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_url(DEFAULT, text)
    assert (refused.value.code, refused.value.status) == ("INVALID_REQUEST", 400)
    assert refused.value.details == {"field": "repo_url"}
    assert refused.value.message.endswith(".")
    assert "401" not in refused.value.message and "secret" not in refused.value.message


def test_http_is_accepted_only_where_the_operator_allows_it() -> None:
    assert parse_url(LOCAL, "http://127.0.0.1:8000/a.git").port == 8000


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
    url = parse_url(SourceSettings(schemes=("http",)), "http://localhost:8000/a.git")
    with pytest.raises(DeploymentFailed) as refused:
        await vet_host(SourceSettings(schemes=("http",)), url)
    assert refused.value.failure.code is FailureCode.SOURCE_REFUSED
    assert not refused.value.retryable


async def test_only_the_permitted_addresses_of_a_host_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: object, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
        records = ("169.254.169.254", "1.1.1.1", "10.0.0.1", "1.1.1.1", "8.8.8.8")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in records]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", resolve)
    addresses = await vet_host(DEFAULT, parse_url(DEFAULT, "https://host.test/a"))
    assert [str(address) for address in addresses] == ["1.1.1.1", "8.8.8.8"]


async def test_a_resolver_in_trouble_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: object, *args: Any, **options: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", resolve)
    with pytest.raises(TransientFailure) as failed:
        await vet_host(DEFAULT, parse_url(DEFAULT, "https://no-such-host.test/a"))
    assert failed.value.failure.code is FailureCode.SOURCE_UNREACHABLE
    assert "no-such-host.test" in failed.value.message


async def test_the_first_address_that_accepts_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = parse_url(LOCAL, f"http://localhost:{listener.getsockname()[1]}/a.git")
        addresses = (ipaddress.ip_address("127.0.0.2"), ipaddress.ip_address("127.0.0.1"))
        assert str(await first_reachable(LOCAL, url, addresses)) == "127.0.0.1"


async def test_a_host_that_accepts_nowhere_is_tried_again_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = parse_url(LOCAL, f"http://127.0.0.1:{port}/a.git")
    with pytest.raises(TransientFailure) as failed:
        await first_reachable(LOCAL, url, (ipaddress.ip_address("127.0.0.1"),))
    assert failed.value.failure.code is FailureCode.SOURCE_UNREACHABLE
    assert failed.value.failure.evidence
