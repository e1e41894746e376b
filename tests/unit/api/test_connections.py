"""How many connections of the API a network may hold."""

from __future__ import annotations

from stackyn_server.api.connections import OpenConnections
from stackyn_server.config import ServerSettings


def test_a_network_has_so_many_connections_and_no_more() -> None:
    connections = OpenConnections(ServerSettings(connections_per_address=2))
    assert [connections.enter(f"2001:db8:1:2::{host}") for host in (1, 2, 3)] == [True, True, False]
    assert connections.enter("2001:db8:1:3::1") and connections.enter("203.0.113.7")
    connections.leave("2001:db8:1:2::1")
    assert connections.enter("2001:db8:1:2::9") and not connections.enter("2001:db8:1:2::9")


def test_the_ingress_on_this_machine_is_not_counted() -> None:
    connections = OpenConnections(ServerSettings(connections_per_address=1))
    assert all(connections.enter(address) for address in ("127.0.0.1", "127.0.0.1", "::1", "::1"))
