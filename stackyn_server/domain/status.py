"""The word that clients are shown for an app. Never stored: it follows from the wish and the active deployment."""

from __future__ import annotations

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase, Status, status_of

SLEEPING = "sleeping"


def app_status(desired: Desired, active: Phase | None) -> Status:
    """A stopped app is `stopped` at once, whatever is still being taken down."""
    if desired is not Desired.RUNNING or active is None:
        return Status.STOPPED
    return status_of(active)


def app_phase(desired: Desired, active: Phase | None, *, is_held: bool) -> str:
    """The finer truth beside the status."""
    if desired is not Desired.RUNNING or active is None:
        return Status.STOPPED.value
    return SLEEPING if active is Phase.LIVE and is_held else active.value
