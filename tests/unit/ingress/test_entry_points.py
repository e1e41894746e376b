from __future__ import annotations

import pytest

from stackyn_server.config import IngressSettings
from stackyn_server.ingress.entry_points import EntryPoint, EntryPointInvalid, external, managed


def test_our_own_proxy_has_tls_only_with_an_https_port() -> None:
    assert managed(IngressSettings(http_port=8000)) == (EntryPoint("web", 8000),)
    assert managed(IngressSettings(http_port=80, https_port=443)) == (
        EntryPoint("web", 80),
        EntryPoint("websecure", 443, tls=True),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", EntryPoint("web", 80)),
        ("web:8000", EntryPoint("web", 8000)),
        ("webSecure/tls", EntryPoint("webSecure", 443, tls=True)),
        ("https:8443/tls", EntryPoint("https", 8443, tls=True)),
    ],
)
def test_an_operators_entry_points_are_read(text: str, expected: EntryPoint) -> None:
    assert external(IngressSettings(https_port=443, entry_points=(text,))) == (expected,)


@pytest.mark.parametrize(
    "text", ["", ":80", "web::", "web:x", "web:0", "web:70000", "a`b", "{{x}}", "web/TLS"]
)
def test_an_unreadable_entry_point_is_named(text: str) -> None:
    with pytest.raises(EntryPointInvalid, match="entry_points"):
        external(IngressSettings(entry_points=(text,)))


def test_a_tls_entry_point_without_any_port_is_refused() -> None:
    with pytest.raises(EntryPointInvalid) as raised:
        external(IngressSettings(https_port=0, entry_points=("websecure/tls",)))

    assert "https_port" in raised.value.hint


def test_no_entry_point_at_all_is_refused() -> None:
    with pytest.raises(EntryPointInvalid):
        external(IngressSettings(entry_points=()))
