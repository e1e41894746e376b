"""Why an app's container could not be made or started, as its owner reads it."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.errors import Absent, EngineRefused, EngineUnavailable

_START_PROBLEM = re.compile(r"(exec: .*?|unable to find (?:user|group) [^:]*: .*?)(?:: unknown)?$", re.DOTALL)
# The engine's errors about an image whose USER, WORKDIR, VOLUME or files no container can have. Most of them come with
# status 500. Tried on 20.10 and 28.5.
_IMAGE_PROBLEM = re.compile(
    r"(uids and gids must be in range.*|cannot mkdir: .* is not a directory|the working directory .* is invalid.*|"
    r"cannot mount volume over existing file.*|[^:]*: file name too long|[^:]*: not a directory|"
    r"[^:]*: too many levels of symbolic links|error during container init: (?:mkdir|chdir) .*|"
    r"(?<= to rootfs at )\S+|invalid signal: .*)",
    re.IGNORECASE | re.DOTALL,
)
# The host's folder of a container's files, with overlay2 and with containerd's store.
_FILES_OF_CONTAINER = re.compile(r"/\S+?/(?:merged|rootfs(?:/\w+/[0-9a-f]{64})?)(?=/)")


class AddressTaken(TransientFailure):
    """Another container has the address of this app's slot. The container that was created is removed again."""

    def __init__(self, address: IPv4Address) -> None:
        super().__init__(
            Failure(
                FailureCode.ENGINE_UNAVAILABLE,
                "The network address of this app is still held by another container.",
                "Nothing needs to be done: it is tried again. If it stays, the operator looks for a container "
                f"with the address {address}.",
            )
        )


class ImageMissing(DeploymentFailed):
    """The image of a release was removed from the engine."""

    def __init__(self) -> None:
        super().__init__(
            Failure(
                FailureCode.INTERNAL,
                "The image of this release is no longer on this server.",
                "Deploy again, or go back to another release.",
            )
        )


class NoStartCommand(DeploymentFailed):
    """Neither the image nor the app's settings name a program."""

    def __init__(self) -> None:
        super().__init__(
            Failure(
                FailureCode.APP_EXITED,
                "The app has no start command: its image has neither CMD nor ENTRYPOINT, and its settings name none.",
                "Add CMD to the Dockerfile, or set a start command in the app's settings.",
            )
        )


def start_failure(spec: ContainerSpec, error: EngineRefused | EngineUnavailable) -> DeploymentFailed:
    reason = error.reason
    lowered = reason.lower()
    if "already in use" in lowered and "address" in lowered:
        return AddressTaken(spec.address)
    if isinstance(error, Absent) and "image" in lowered:
        return ImageMissing()
    if "no command specified" in lowered:
        return NoStartCommand()
    if problem := _START_PROBLEM.search(reason):
        return DeploymentFailed.of(
            FailureCode.APP_EXITED,
            "The app's start command could not be run in its image.",
            "Check the start command, and that its program and user exist in the image.",
            problem[1],
        )
    if problem := _IMAGE_PROBLEM.search(reason):
        return DeploymentFailed.of(
            FailureCode.APP_EXITED,
            "No container can be made of the app's image.",
            "Check USER, WORKDIR and VOLUME in the Dockerfile, and which files the image has where they point.",
            _FILES_OF_CONTAINER.sub("", problem[1])[:1000],
        )
    return error
