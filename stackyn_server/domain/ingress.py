"""The container of our own proxy: what it should be, and what it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOUNT = PurePosixPath("/etc/stackyn")  # where the container sees the configuration directory

ProxyReady = Callable[[], Awaitable[None]]  # returns once the new proxy serves; raises when it doesn't


@dataclass(frozen=True, slots=True)
class IngressSpec:
    """`arguments` follow the proxy's binary, which is the image's entry point. `config_dir` is mounted read-only, and
    its subdirectory `acme` writable. `uid` is the number of its user and group; None is root without capabilities."""

    image: str
    config_dir: Path
    arguments: tuple[str, ...]
    memory_mb: int
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class IngressState:
    """`container` is the engine's id, `pid` its process (0: none); `last_lines` are the end of the proxy's log."""

    container: str
    running: bool
    image: str
    pid: int = 0
    last_lines: str = ""
