"""Which of two proxies that share their ports gets the new connections, while one takes the other's place.

The kernel spreads connections over all sockets of a port, from the moment each of them listens; a new proxy would get
its share before it has read its routes, and answer that there is no such host. A program of four instructions at the
sockets of the old one decides instead (`SO_ATTACH_REUSEPORT_CBPF` in socket(7)). It names a socket by its place in the
order in which they came, and the kernel spreads as before when there is none at that place: so whichever process ends,
this one included, nobody is left without an answer.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from stackyn_server.ingress.listeners import inodes

OURS = IPv4Address("127.83.84.75")  # we ask from it, as nobody else does, and always reach the new proxy

_PIDFD_GETFD = 438  # the number of this system call on every processor
_SO_ATTACH_REUSEPORT_CBPF = 51
_SOURCE_ADDRESS = 0xFFF00000 + 12  # SKF_NET_OFF in linux/filter.h: from the beginning of the IPv4 header
_OLD, _NEW = 0, 1
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand

_OLD_FOR_ALL_BUT_US: tuple[Instruction, ...] = (
    (_LOAD_WORD, 0, 0, _SOURCE_ADDRESS),
    (_JUMP_IF_EQUAL, 0, 1, int(OURS)),
    (_RETURN, 0, 0, _NEW),
    (_RETURN, 0, 0, _OLD),
)
_NEW_FOR_ALL: tuple[Instruction, ...] = ((_RETURN, 0, 0, _NEW),)


@dataclass(frozen=True, slots=True)
class Steering:
    """The ports of the process `pid` or its child, the only one that listens there when this begins.

    Blocking, in milliseconds. Raises OSError where the kernel is older than 5.6 or we may not look into that process.
    """

    pid: int
    ports: frozenset[int]

    def hold_to_old(self) -> None:
        """Before the new proxy is started: whoever comes goes to the old one, and our own questions to the new one."""
        self._apply(_OLD_FOR_ALL_BUT_US)

    def turn_to_new(self) -> None:
        """Before the old proxy is told to end: it gets no further connection."""
        self._apply(_NEW_FOR_ALL)

    def _apply(self, program: tuple[Instruction, ...]) -> None:
        with (
            ExitStack() as stack
        ):  # a copy of a socket that stayed open would go on listening, with nobody behind it
            copies = [stack.enter_context(_copy(*place)) for place in self._sockets()]
            if not copies:
                raise ProcessLookupError(f"process {self.pid} listens on none of the ports")
            for copied in copies:
                _attach(copied, program)

    def _sockets(self) -> Iterator[tuple[int, int]]:
        """Yield process and descriptor."""
        wanted = {f"socket:[{inode}]" for inode in inodes(self.ports)}
        for process in (self.pid, *_children(self.pid)):
            for link in Path(f"/proc/{process}/fd").iterdir():
                try:
                    is_wanted = os.readlink(link) in wanted
                except FileNotFoundError:  # a connection that ended meanwhile
                    continue
                if is_wanted:
                    yield process, int(link.name)


def _children(pid: int) -> list[int]:
    """The engine's init is the first process of the container, and the proxy its child."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def _copy(pid: int, descriptor: int) -> socket.socket:
    process = os.pidfd_open(pid)
    try:
        copied = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, process, descriptor, 0)
        if copied < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return socket.socket(fileno=copied)
    finally:
        os.close(process)


def _attach(listener: socket.socket, program: tuple[Instruction, ...]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, described)
