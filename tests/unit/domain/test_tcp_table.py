"""The kernel's socket table, from lines that a real kernel printed."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from stackyn_server.domain.tcp_table import ESTABLISHED, LISTEN, TcpSocket, parse_tcp_table

_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
_REST = "00000000:00000000 00:00000000 00000000  1000        0 48213 1 0000000000000000 100 0 0 10 0\n"


def row(local: str, state: str) -> TcpSocket:
    (only,) = parse_tcp_table(f"{_HEAD}   0: {local} {'0' * len(local[:-5])}:0000 {state} {_REST}")
    return only


def test_row_has_port_state_and_inode() -> None:
    listener = row("0100007F:1F90", "0A")
    assert (listener.port, listener.state, listener.inode) == (8080, LISTEN, 48213)
    assert row("0100007F:0050", "01").state == ESTABLISHED


@pytest.mark.parametrize(
    ("local", "address"),
    [
        ("0100007F:1F90", "127.0.0.1"),
        ("0000000000000000FFFF00000100007F:1F90", "127.0.0.1"),
        ("00000000000000000000000001000000:1F90", "::1"),
    ],
)
def test_address_is_read_in_the_machines_byte_order(local: str, address: str) -> None:
    assert row(local, "0A").address == ip_address(address)


def test_table_without_rows_is_empty() -> None:
    assert list(parse_tcp_table(_HEAD)) == list(parse_tcp_table("")) == []
