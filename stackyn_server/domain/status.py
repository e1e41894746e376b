"""The word that clients are shown for an app. Never stored: it follows from the wish, the active deployment, and
whether the container that serves is recorded as up and well."""

from __future__ import annotations

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase, Status, status_of

SLEEPING, DOWN, UNHEALTHY = "sleeping", "down", "unhealthy"


def active_status(active: Phase, *, is_down: bool) -> Status:
    """A live deployment whose container does not run has failed for now, whoever is about to bring it back."""
    return Status.FAILED if active is Phase.LIVE and is_down else status_of(active)


def app_status(desired: Desired, active: Phase | None, *, is_down: bool = False) -> Status:
    """A stopped app is `stopped` at once, whatever is still being taken down."""
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
    """The finer truth beside the status."""
    if desired is not Desired.RUNNING or active is None:
        return Status.STOPPED.value
    if active is not Phase.LIVE:
        return active.value
    if is_held:
        return SLEEPING
    if is_down:
        return DOWN
    return UNHEALTHY if is_unhealthy else active.value
