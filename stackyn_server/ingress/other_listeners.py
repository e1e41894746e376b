"""Finds programs that listen on the ports of our proxy beside it: the kernel splits new connections between them.

With SO_REUSEPORT, which our hand-over needs, a second proxy is not refused. A leftover of another installation took
every second request of a server whose own proxy was fine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.errors import StackynError
from stackyn_server.ingress.listeners import listeners

_PROC = Path("/proc")
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
_SOCKET = re.compile(r"socket:\[(\d+)\]")


class PortShared(StackynError):
    """Somebody else answers on a port of the ingress; `message` names them."""

    code = "INGRESS_PORT_SHARED"


@dataclass(frozen=True, slots=True)
class OtherListener:
    """A program that listens on `port`. `pid` is 0 where it can't be found out; `container` is the engine's id."""

    port: int
    pid: int = 0
    program: str = ""
    container: str = ""


def other_listeners(ports: Collection[int], own: Iterable[int]) -> list[OtherListener]:
    """Return who listens on `ports` of this machine, except for the processes `own` and their children.

    Blocking: it reads the table of sockets, and all processes when there is a listener that isn't ours. Empty without
    the right to look at our own proxy.
    """
    ports_by_inode = {listener.inode: listener.port for listener in listeners(ports)}
    try:
        for pid in own:
            for process in (pid, *children(pid)):
                for inode in _socket_inodes(process):
                    ports_by_inode.pop(inode, None)
    except PermissionError:
        return []
    return list(_holders(ports_by_inode)) if ports_by_inode else []


def port_shared(others: Iterable[OtherListener], names: Iterable[str]) -> PortShared:
    """Return the error that names each program, with the name of its container or ""."""
    sentences = [_sentence(other, name) for other, name in zip(others, names, strict=True)]
    return PortShared(
        " ".join(dict.fromkeys(sentences)),
        hint="Stop it: while it listens there, visitors are answered by it and by this server's proxy in turn.",
    )


def children(pid: int) -> list[int]:
    """Return the processes that `pid` started: with the engine's init as a container's first process, the proxy."""
    try:
        return [int(child) for child in (_PROC / f"{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:  # it has ended
        return []


def _holders(ports_by_inode: dict[int, int]) -> Iterator[OtherListener]:
    """Yield one holder of each socket, the oldest process; without a process where none was found."""
    found: set[int] = set()
    for pid in sorted(int(folder.name) for folder in _PROC.glob("[0-9]*")):
        with suppress(PermissionError):
            for inode in ports_by_inode.keys() & set(_socket_inodes(pid)) - found:
                found.add(inode)
                yield OtherListener(ports_by_inode[inode], pid, _text(pid, "comm").strip(), _container(pid))
    for inode in ports_by_inode.keys() - found:
        yield OtherListener(ports_by_inode[inode])


def _socket_inodes(pid: int) -> Iterator[int]:
    """Yield the sockets of a process, none when it has ended. Raises PermissionError."""
    folder = _PROC / f"{pid}/fd"
    with suppress(FileNotFoundError, ProcessLookupError):
        for name in os.listdir(folder):
            with suppress(FileNotFoundError):  # it was closed meanwhile
                match = _SOCKET.fullmatch(os.readlink(folder / name))
                if match is not None:
                    yield int(match[1])


def _container(pid: int) -> str:
    match = _CONTAINER_ID.search(_text(pid, "cgroup"))
    return match[0] if match else ""


def _text(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_text("utf-8", "replace")
    except OSError:
        return ""


def _sentence(other: OtherListener, container_name: str) -> str:
    if not other.pid:
        return f"Another program listens on port {other.port} beside the proxy."
    container = container_name or other.container[:12]
    inside = f" in the container {container}" if container else ""
    return f"Process {other.pid} ({other.program}){inside} listens on port {other.port} beside the proxy."
