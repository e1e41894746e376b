"""Liveness and readiness."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.health import Alive, Ready
from stackyn_server.errors import Unavailable


async def alive() -> Alive:
    """Say that the process answers."""
    return Alive(status="ok")


async def ready(services: Services) -> Ready:
    """Say whether every part can do its work."""
    state = await services.health()
    answer = Ready.of(state)
    if not state.is_ready:
        details = answer.model_dump(mode="json", exclude={"status"})
        raise Unavailable("The server is not ready for all of its work.", details=details)
    return answer
