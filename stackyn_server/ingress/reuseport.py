"""Decides which of two proxies on the same ports gets new connections while one replaces the other.

Both set SO_REUSEPORT, so the kernel spreads new connections over both as soon as the new proxy listens. The new proxy
has not read its routes then and answers 404. So we attach a classic BPF program to the listeners
(`SO_ATTACH_REUSEPORT_CBPF`, socket(7)). It returns the index of a listener, in the order in which they began to listen.
If no listener has that index, the kernel spreads connections as before: no connection is refused, whichever process
ends. docs/ingress-handover.md has the alternatives with their measured cost.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from stackyn_server.ingress.listeners import listener_inodes
from stackyn_server.ingress.other_listeners import children

CHECK_ADDRESS = IPv4Address("127.83.84.75")  # connections from this address always reach the new proxy

_PIDFD_GETFD = 438  # the number of this system call on every processor
_SO_ATTACH_REUSEPORT_CBPF = 51
_SOURCE_ADDRESS = 0xFFF00000 + 12  # SKF_NET_OFF of linux/filter.h: relative to the IPv4 header
_OLD, _NEW = 0, 1  # indexes of the listeners
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand

_OLD_EXCEPT_FOR_CHECKS: tuple[Instruction, ...] = (
    (_LOAD_WORD, 0, 0, _SOURCE_ADDRESS),
    (_JUMP_IF_EQUAL, 0, 1, int(CHECK_ADDRESS)),
    (_RETURN, 0, 0, _NEW),
    (_RETURN, 0, 0, _OLD),
)
_ALWAYS_NEW: tuple[Instruction, ...] = ((_RETURN, 0, 0, _NEW),)


@dataclass(frozen=True, slots=True)
class ReuseportGroup:
    """The listeners on `ports`. At first only process `pid` or a child of it, the old proxy, may listen there.

    Blocking for milliseconds. Raises OSError on a kernel before 5.6 and without the right to trace that process.
    """

    pid: int
    ports: frozenset[int]

    def give_to(self, uid: int) -> None:
        """Make user `uid` the owner of the old proxy's listeners: the kernel lets only sockets of one user share a
        port, and an earlier release's proxy runs as root."""
        with self._copies() as listeners:
            for listener in listeners:
                os.fchown(listener.fileno(), uid, -1)

    def keep_on_old(self) -> None:
        """Send new connections to the old proxy, and our own checks to the new one. Call it before the new starts."""
        self._attach(_OLD_EXCEPT_FOR_CHECKS)

    def move_to_new(self) -> None:
        """Send new connections to the new proxy. Call it before SIGTERM: closing a listener resets its connections."""
        self._attach(_ALWAYS_NEW)

    def _attach(self, program: tuple[Instruction, ...]) -> None:
        code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
        buffer = ctypes.create_string_buffer(code, len(code))
        sock_fprog = struct.pack("@HP", len(program), ctypes.addressof(buffer))
        with self._copies() as listeners:
            for listener in listeners:
                listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, sock_fprog)

    @contextmanager
    def _copies(self) -> Iterator[list[socket.socket]]:
        """Duplicate the listeners, and close the copies again: one that stayed open would keep listening without a
        process that accepts."""
        with ExitStack() as stack:
            listeners = [stack.enter_context(_copy(*descriptor)) for descriptor in self._descriptors()]
            if not listeners:
                raise ProcessLookupError(f"process {self.pid} listens on none of the ports")
            yield listeners

    def _descriptors(self) -> Iterator[tuple[int, int]]:
        """Yield process id and file descriptor of each listener of the old proxy."""
        targets = {f"socket:[{inode}]" for inode in listener_inodes(self.ports)}
        for pid in (self.pid, *children(self.pid)):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    is_listener = os.readlink(link) in targets
                except FileNotFoundError:  # a connection that was closed meanwhile
                    continue
                if is_listener:
                    yield pid, int(link.name)


def _copy(pid: int, descriptor: int) -> socket.socket:
    """Duplicate a socket of another process (pidfd_getfd(2), which Python doesn't offer)."""
    process = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, process, descriptor, 0)
        if copy < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return socket.socket(fileno=copy)
    finally:
        os.close(process)
