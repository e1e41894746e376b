"""The error for a built image that can't be used, which is the tenant's fault."""

from __future__ import annotations

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode


class ImageRefused(DeploymentFailed):
    """`message` is for the tenant; `reason` has details for the log."""

    def __init__(self, message: str, hint: str = "", *, reason: str = "") -> None:
        super().__init__(
            Failure(FailureCode.BUILD_FAILED, message, hint or "Repair the Dockerfile, then deploy again.")
        )
        if reason:
            self.add_note(reason)


def malformed(reason: str) -> ImageRefused:
    """Return the error for data that no correct builder writes."""
    return ImageRefused("The build did not leave an image that can be used.", reason=reason)
