"""Parse the kernel's table of TCP sockets: the text of /proc/net/tcp and tcp6, and of the same files of a process.

Source: proc(5); the states are those of the kernel's include/net/tcp_states.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

Address = IPv4Address | IPv6Address

ESTABLISHED, SYN_RECEIVED, LISTEN = "01", "03", "0A"
_INODE_FIELD = 5  # of the fields after the state


class TcpSocket(NamedTuple):
    """One row. A table can have tens of thousands, so a field is decoded only when it is read."""

    local: str
    state: str
    other_fields: str

    @property
    def port(self) -> int:
        return int(self.local.rpartition(":")[2], 16)

    @property
    def inode(self) -> int:
        return int(self.other_fields.split(maxsplit=_INODE_FIELD + 1)[_INODE_FIELD])

    @property
    def address(self) -> Address:
        """The local address: 32-bit words, each in the byte order of the machine (little endian)."""
        raw = bytes.fromhex(self.local.partition(":")[0])
        ordered = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
        if len(ordered) == 4:
            return IPv4Address(ordered)
        address = IPv6Address(ordered)
        return address.ipv4_mapped or address


def parse_tcp_table(text: str) -> Iterator[TcpSocket]:
    for line in text.splitlines()[1:]:
        _, local, _, state, other_fields = line.split(maxsplit=4)
        yield TcpSocket(local, state, other_fields)
