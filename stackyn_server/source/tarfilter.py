"""Change a tar stream while it flows: leave members out, strip a folder, add members. Memory is bounded by a chunk."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence

from stackyn_server.source.dockerignore import Ignore

LFS_HEADER = b"version https://git-lfs.github.com/spec/"
# A pointer has about 130 bytes; members below this size are looked into, and so are awaited whole.
LFS_POINTER_BYTES = 1_024
NAMES_SHOWN = 5
MEMBER_MODE = 0o644
_BLOCK = tarfile.BLOCKSIZE
_EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE)


class TarFilter:
    """Feed it git's tar chunk by chunk; it returns what goes on. Not for two threads at once.

    `ignore` and `keep` are about paths below `root`. Members under the first name of an `extra` path are left out.
    """

    def __init__(
        self, ignore: Ignore, *, root: str = "", extra: Mapping[str, bytes], keep: Sequence[str] = ()
    ) -> None:
        self._ignore, self._root, self._keep = ignore, root, frozenset(keep)
        self._reserved = frozenset(path.split("/")[0] for path in extra)
        self._output = bytearray(b"".join(_added(path, content) for path, content in extra.items()))
        self._buffer = bytearray()
        self._remaining = 0  # bytes of the present member's contents, with padding
        self._sends = False  # whether they go on
        self._extended: dict[str, str] = {}  # what a pax header said about the member after it
        self._lfs_pointers: list[str] = []

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the input and return the next bytes of the output, often none."""
        self._buffer += data
        while self._take_contents() or self._take_header():
            pass
        output, self._output = bytes(self._output), bytearray()
        return output

    def end(self) -> bytes:
        """Return the end of the archive; for an input that ended well."""
        return bytes(self._output) + bytes(2 * _BLOCK)

    def missing(self) -> list[str]:
        """Return sentences for the build log about what the archive has not got."""
        if not self._lfs_pointers:
            return []
        names = _some(self._lfs_pointers)
        return [f"Git LFS files are not fetched, the build gets their pointers instead: {names}"]

    def _take_contents(self) -> bool:
        count = min(self._remaining, len(self._buffer))
        if self._sends:
            self._output += self._buffer[:count]
        del self._buffer[:count]
        self._remaining -= count
        return count > 0

    def _take_header(self) -> bool:
        """Decide about the next member; False when that needs more input."""
        if self._remaining or len(self._buffer) < _BLOCK:
            return False
        block = bytes(self._buffer[:_BLOCK])
        if not any(block):  # the end, or its padding
            del self._buffer[:_BLOCK]
            return True
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        padded = -(-member.size // _BLOCK) * _BLOCK
        small = b""
        if member.type in _EXTENSIONS or member.size <= LFS_POINTER_BYTES:
            if len(self._buffer) < _BLOCK + padded:
                return False
            small = bytes(self._buffer[_BLOCK : _BLOCK + member.size])
        del self._buffer[:_BLOCK]
        self._remaining, self._sends = padded, False
        if member.type == tarfile.XHDTYPE:
            self._extended = _records(small)
        elif member.type != tarfile.XGLTYPE:
            self._take_member(member, small)
        return True

    def _take_member(self, member: tarfile.TarInfo, small: bytes) -> None:
        member.name = self._extended.get("path", member.name)
        member.linkname = self._extended.get("linkpath", member.linkname)
        self._extended = {}
        path = self._below_root(member.name.rstrip("/"))
        if path is None or path.split("/")[0] in self._reserved:
            return
        if path not in self._keep and self._ignore.excludes(path):
            return
        if small.startswith(LFS_HEADER):
            self._lfs_pointers.append(path)
        member.name = path
        self._output += member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        self._sends = True

    def _below_root(self, path: str) -> str | None:
        if not self._root:
            return path or None
        return path.removeprefix(f"{self._root}/") if path.startswith(f"{self._root}/") else None


def _added(path: str, content: bytes) -> bytes:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), MEMBER_MODE
    padding = bytes(-len(content) % _BLOCK)
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + content + padding


def _records(header: bytes) -> dict[str, str]:
    """Read a pax extended header: records of `<length> <key>=<value>\\n` (POSIX.1-2001, pax)."""
    records = {}
    while header:
        length = header.partition(b" ")[0]
        record, header = header[len(length) + 1 : int(length) - 1], header[int(length) :]
        key, _, value = record.partition(b"=")
        records[key.decode("ascii", "replace")] = value.decode("utf-8", "surrogateescape")
    return records


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
