"""Filter a tar stream: leave members out, strip a folder, add members. Memory is bounded by a chunk."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence

from stackyn_server.buildplan.context.dockerignore import IgnoreRules

LFS_HEADER = b"version https://git-lfs.github.com/spec/"
# A pointer has about 130 bytes; members up to this size are buffered whole, to be recognised as pointers.
LFS_POINTER_BYTES = 1_024
NAMES_SHOWN = 5
MEMBER_MODE, FOLDER_MODE = 0o644, 0o755
NOTHING = IgnoreRules(())
_BLOCK = tarfile.BLOCKSIZE
_EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE)


class TarFilter:
    """Take git's tar chunk by chunk and return the filtered tar. Not for two threads at once.

    `ignore`, `keep` and `copies` are about paths below `root`; the output has the members below `prefix`. Files in
    `keep` are sent whatever `ignore` says; so are files and folders in `copies`, except those that `always_out`
    excludes. Members under the first name of an `extra` path are left out.
    """

    def __init__(
        self,
        ignore: IgnoreRules,
        *,
        extra: Mapping[str, bytes],
        root: str = "",
        prefix: str = "",
        always_out: IgnoreRules = NOTHING,
        keep: Sequence[str] = (),
        copies: Sequence[str] = (),
    ) -> None:
        self._ignore, self._always_out, self._keep = ignore, always_out, frozenset(keep)
        self._copies, self._copied_folders = frozenset(copies), tuple(f"{path}/" for path in copies)
        self._root, self._prefix = root, prefix
        self._reserved = frozenset(path.split("/")[0] for path in extra)
        self._output = bytearray(_folder_member(prefix)) if prefix else bytearray()
        self._output += b"".join(_file_member(f"{prefix}{path}", content) for path, content in extra.items())
        self._buffer = bytearray()
        self._remaining = 0  # bytes of the present member's contents, with padding
        self._sends = False  # whether the present member is sent
        self._extended: dict[str, str] = {}  # fields of a pax header for the next member
        self._lfs_pointers: list[str] = []
        self.has_ended = False  # whether the mark of the input's end has been seen

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the input and return the next bytes of the output, often none."""
        self._buffer += data
        while self._take_contents() or self._take_header():
            pass
        output, self._output = bytes(self._output), bytearray()
        return output

    def end(self) -> bytes:
        """Return the end of the archive; call it only when `has_ended` is true."""
        return bytes(self._output) + bytes(2 * _BLOCK)

    def missing(self) -> list[str]:
        """Return sentences for the build log about contents that the archive lacks."""
        if not self._lfs_pointers:
            return []
        names = _first_names(self._lfs_pointers)
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
            self.has_ended = True
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
        if not self._is_sent(path):
            return
        if small.startswith(LFS_HEADER):
            self._lfs_pointers.append(path)
        member.name = f"{self._prefix}{path}"
        self._output += member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        self._sends = True

    def _is_sent(self, path: str) -> bool:
        if path in self._keep:
            return True
        is_copied = path in self._copies or path.startswith(self._copied_folders)
        return not (self._always_out if is_copied else self._ignore).excludes(path)

    def _below_root(self, path: str) -> str | None:
        if not self._root:
            return path or None
        return path.removeprefix(f"{self._root}/") if path.startswith(f"{self._root}/") else None


def _folder_member(path: str) -> bytes:
    member = tarfile.TarInfo(path)
    member.type, member.mode = tarfile.DIRTYPE, FOLDER_MODE
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _file_member(path: str, content: bytes) -> bytes:
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


def _first_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
