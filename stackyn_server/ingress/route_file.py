"""The one file that the proxy reads: replaced atomically, and checked for changes by other programs."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from enum import StrEnum
from pathlib import Path

from stackyn_server.ingress.render_context import PublicationId

_READABLE = 0o644  # an operator's proxy may run as any user; the file holds public names and addresses
_READABLE_BY_GROUP = 0o640


class RouteFileState(StrEnum):
    """The state of the file since we wrote it. Each value completes the sentence "The route file …"."""

    INTACT = "is intact"
    UNWRITTEN = "was not written yet"
    MISSING = "is missing"
    TRUNCATED = "is cut off"
    CHANGED = "was changed by another program"


class RouteFile:
    """Blocking: call it in a thread. Errors are OSError. A publication never replaces a later one, so a thread whose
    caller was cancelled can't restore old routes."""

    def __init__(self, path: Path, staging: Path | None = None, group: int | None = None) -> None:
        """`staging` is a directory on the same file system that the proxy doesn't watch; by default the file's own.
        With `group` nobody else may read the file."""
        self.path = path
        self._group = group
        self._staging = staging or path.parent
        self._lock = threading.Lock()
        self._written: tuple[PublicationId, bytes] | None = None

    def stage(self, text: str) -> Path:
        """Write `text` durably under a temporary name, read it back, and return that name."""
        content = text.encode()
        # A proxy that reads the whole directory ignores this name because of its leading dot and its ending.
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".tmp", dir=self._staging)
        staged = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if self._group is not None:
                    os.fchown(file.fileno(), -1, self._group)
                os.fchmod(file.fileno(), _READABLE if self._group is None else _READABLE_BY_GROUP)
                os.fsync(file.fileno())
            if staged.read_bytes() != content:
                raise OSError(f"{staged} does not hold what was written")
        except OSError:
            staged.unlink(missing_ok=True)
            raise
        return staged

    def commit(self, staged: Path, publication: PublicationId) -> None:
        """Replace the route file by the staged file, durably. An older publication is discarded instead."""
        with self._lock:
            if self._written is not None and self._written[0] > publication:
                staged.unlink(missing_ok=True)
                return
            digest = hashlib.sha256(staged.read_bytes()).digest()
            os.rename(staged, self.path)
            _sync_directory(self.path.parent)
            self._written = (publication, digest)

    def discard(self, staged: Path) -> None:
        staged.unlink(missing_ok=True)

    def state(self) -> RouteFileState:
        """Compare the file on the disk with what we wrote."""
        with self._lock:
            if self._written is None:
                return RouteFileState.UNWRITTEN
            try:
                content = self.path.read_bytes()
            except FileNotFoundError:
                return RouteFileState.MISSING
            if hashlib.sha256(content).digest() == self._written[1]:
                return RouteFileState.INTACT
            return RouteFileState.CHANGED if content.endswith(b"}\n") else RouteFileState.TRUNCATED

    def sweep(self) -> None:
        """Remove the staged files of a server that ended between writing and renaming."""
        for staged in self._staging.glob(f".{self.path.name}.*.tmp"):
            staged.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
