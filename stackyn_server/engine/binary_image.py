"""Put one static program into a tar that the engine imports as an image."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

_PIECE_BYTES = 1024 * 1024
_DIRECTORIES = ("etc", "etc/stackyn", "tmp")  # mount points: a read-only root can get none later
# struct vfs_cap_data of linux/capability.h: revision 2, effective; then what is permitted (1 << CAP_NET_BIND_SERVICE).
_NET_BIND_SERVICE = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0).decode("ascii")


class BinaryChanged(Exception):
    """The file's content does not have the expected digest."""


async def binary_as_tar(binary: Path, digest: str) -> AsyncIterator[bytes]:
    """Yield a tar that holds the program under its own name, readable and executable for everybody, with the right to
    listen on ports below 1024 (a capability of the file).

    Raises `BinaryChanged`, before the archive is complete, when the SHA-256 isn't `digest`.
    """
    size = (await asyncio.to_thread(binary.stat)).st_size
    for name in _DIRECTORIES:
        yield _directory(name)
    member = tarfile.TarInfo(binary.name)
    member.size, member.mode = size, 0o755
    member.pax_headers = {"SCHILY.xattr.security.capability": _NET_BIND_SERVICE}
    yield member.tobuf(tarfile.PAX_FORMAT)
    content = hashlib.sha256()
    file = await asyncio.to_thread(binary.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            await asyncio.to_thread(content.update, piece)
            yield piece
    finally:
        await asyncio.to_thread(file.close)
    if content.hexdigest() != digest:
        raise BinaryChanged(binary)
    yield b"\0" * (-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _directory(name: str) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member.tobuf(tarfile.GNU_FORMAT)
