"""Read the OCI image layout that a build left. A tenant may have written every file in it.

No links are followed, only regular files are opened, and sizes are checked before reading. The builder must have ended.
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stackyn_server.engine.builder.base_image_index import DIGEST
from stackyn_server.engine.builder.image_refused import malformed

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class BuiltLayout:
    """An open layout. Every method blocks, and raises `ImageRefused` for data that no correct builder writes."""

    def __init__(self, folder: int, blobs: int, files: ExitStack) -> None:
        self._folder = folder
        self._blobs = blobs
        self._files = files

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[BuiltLayout]:
        """Open a layout until the block is left. The parent of `folder` is trusted, `folder` itself is not."""
        with ExitStack() as files:
            descriptor = _open_folder(files, folder.name, _open_folder(files, str(folder.parent), None))
            blobs = _open_folder(files, "sha256", _open_folder(files, "blobs", descriptor))
            yield cls(descriptor, blobs, files)

    def index(self, most_bytes: int) -> Any:
        """Return the content of `index.json`."""
        descriptor, size = self._open_file("index.json", self._folder)
        return _parsed("index.json", _content(descriptor, size, most_bytes, "index.json"))

    def json_blob(self, digest: str, most_bytes: int) -> Any:
        """Return the content of a JSON blob after verifying its digest."""
        descriptor, size = self.blob(digest)
        content = _content(descriptor, size, most_bytes, digest)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise malformed(f"{digest} has other content than its name says")
        return _parsed(digest, content)

    def blob(self, digest: str) -> tuple[int, int]:
        """Return an open file, valid while the layout is open, and its size in bytes. The digest is not verified."""
        return self._open_file(_name(digest), self._blobs)

    def has(self, digest: str) -> bool:
        """Return whether anything exists under the name of this blob."""
        try:
            os.stat(_name(digest), dir_fd=self._blobs, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _open_file(self, name: str, folder: int) -> tuple[int, int]:
        descriptor = _open(self._files, name, _FILE, folder)
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise malformed(f"{name} is no regular file")
        return descriptor, state.st_size


def _name(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise malformed("a descriptor has no SHA-256 digest")
    return digest.removeprefix("sha256:")


def _parsed(name: str, content: bytes) -> Any:
    """Parse JSON. Raises `ImageRefused`, also for too deep nesting."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise malformed(f"{name} is no JSON: {type(error).__name__}") from error


def _content(descriptor: int, size: int, most_bytes: int, name: str) -> bytes:
    if size > most_bytes:
        raise malformed(f"{name} has {size} bytes, more than {most_bytes}")
    return os.pread(descriptor, most_bytes, 0)


def _open_folder(files: ExitStack, name: str, folder: int | None) -> int:
    return _open(files, name, _FOLDER, folder)


def _open(files: ExitStack, name: str, flags: int, folder: int | None) -> int:
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError as error:  # ELOOP: a symbolic link
        raise malformed(f"{name} can't be opened: {error.strerror}") from error
    files.callback(os.close, descriptor)
    return descriptor
