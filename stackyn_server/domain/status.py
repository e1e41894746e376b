"""An app's status for clients. Never stored: it is derived from what its owner wants, the active deployment, and
whether the serving container is recorded as up and healthy."""

from __future__ import annotations

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase, Status, status_of

SLEEPING, DOWN, UNHEALTHY = "sleeping", "down", "unhealthy"


def active_status(active: Phase, *, is_down: bool) -> Status:
    """Return the status of the active deployment: `failed` while a live one's container does not run."""
    return Status.FAILED if active is Phase.LIVE and is_down else status_of(active)


def app_status(desired: Desired, active: Phase | None, *, is_down: bool = False) -> Status:
    """Return the app's status: a stopped app is `stopped` at once, even while its container still ends."""
    if desired is not Desired.RUNNING or active is None:
        return Status.STOPPED
    return active_status(active, is_down=is_down)


def app_phase(
    desired: Desired,
    active: Phase | None,
    *,
    is_held: bool,
    is_down: bool = False,
    is_unhealthy: bool = False,
) -> str:
    """Return the app's phase, which is finer than its status."""
    if desired is not Desired.RUNNING or active is None:
        return Status.STOPPED.value
    if active is not Phase.LIVE:
        return active.value
    if is_held:
        return SLEEPING
    if is_down:
        return DOWN
    return UNHEALTHY if is_unhealthy else active.value
