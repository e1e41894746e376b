"""Whose address counts for the limits by address."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from stackyn_server.api.throttling import client_address

TRUSTED = (ip_network("10.9.0.0/24"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("127.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("::1", ["203.0.113.5"], "203.0.113.5"),
        # a proxy of the operator's in front: the one that it vouches for, whatever that one claims
        ("127.0.0.1", ["203.0.113.5, 10.9.0.7"], "203.0.113.5"),
        ("127.0.0.1", ["198.51.100.1, 203.0.113.5, 10.9.0.7"], "203.0.113.5"),
        ("127.0.0.1", ["203.0.113.5, 10.9.0.8", "2001:db8::7"], "203.0.113.5"),
        ("127.0.0.1", ["10.9.0.9, 10.9.0.7"], "10.9.0.9"),
        ("127.0.0.1", ["nonsense, 10.9.0.7"], "nonsense"),
        # somebody else's chain says nothing
        ("127.0.0.1", ["10.9.0.7, 203.0.113.5"], "203.0.113.5"),
        ("192.0.2.44", ["203.0.113.5"], "192.0.2.44"),
        ("10.9.0.7", ["203.0.113.5"], "10.9.0.7"),
    ],
)
def test_the_address_of_a_visitor(peer: str, chain: list[str], client: str) -> None:
    headers = CIMultiDict([("X-Forwarded-For", line) for line in chain])
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=peer)
    assert client_address(request, TRUSTED) == client
