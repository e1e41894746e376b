"""What there is of the proxy that we run ourselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IngressState:
    """`container` is the engine's id, `pid` its process (0: none); `last_lines` are of the proxy's own log, for the
    operator."""

    container: str
    running: bool
    image: str
    pid: int = 0
    last_lines: str = ""
