"""Whether this machine's engine reaches an image registry."""

from __future__ import annotations

from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable

_ASKED = "debian:bookworm-slim"
_SECONDS = 15


async def answers(engine: Engine) -> bool:
    """Ask for the digest of an image that is always there."""
    try:
        await engine.request("GET", f"distribution/{_ASKED}/json", seconds=_SECONDS)
    except (EngineRefused, EngineUnavailable):
        return False
    return True
