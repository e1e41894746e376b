"""The build plan: how a commit is built, and its settings for the deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

GENERATED_DOCKERFILE = ".stackyn/Dockerfile"
_LISTS = ("reasons", "ignore", "copies", "base_images", "arguments")


@dataclass(frozen=True, slots=True)
class DeploymentSettings:
    """The repository's settings for the deployment that follows the build; None where it has none.

    `start_command` is for an own Dockerfile's image; a generated one has it inside.
    """

    release_command: str | None = None
    health_path: str | None = None
    health_timeout_seconds: int | None = None
    build_memory_mb: int | None = None
    start_command: str | None = None


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """How a commit is built, with the reasons in sentences for its owner.

    `dockerfile` is a path in the build context; when `generated` has its text, it is not in the repository and must be
    added to the context. So must one that is outside of the root directory: `dockerfile_from` is its path from the top
    of the commit. `port` is where the app is told to listen (PORT) and is expected to answer; None: ask the built
    image which port it exposes. `root` is the folder of the commit that is sent, empty for its top, where it is
    another one than the app's root directory: a member of a workspace is built with what is beside it.

    `ignore` holds patterns in Docker's syntax for files that a generated build leaves out, and `copies` the files and
    folders that its Dockerfile names in COPY, which are sent whatever the repository's own `.dockerignore` says.
    `base_images` are the images that it begins from, as far as they are known by reading. `syntax` is the frontend that
    a Dockerfile of the repository names in its `# syntax=` line, `arguments` are what it declares with ARG;
    `is_started` is False when it doesn't say what is started. `repeatable`: its Dockerfile takes nothing that could
    change while the commit, its settings and `base_images` stay the same.
    """

    runtime: str
    reasons: tuple[str, ...]
    dockerfile: str
    generated: str | None
    port: int | None
    ignore: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    base_images: tuple[str, ...] = ()
    dockerfile_from: str | None = None
    root: str | None = None
    syntax: str = ""
    arguments: tuple[str, ...] = ()
    is_started: bool = True
    repeatable: bool = False
    deploying: DeploymentSettings = DeploymentSettings()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _LISTS}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read a plan that any version of this server stored: a field that it lacks has its default."""
        values = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        lists = {name: tuple(values.get(name, ())) for name in _LISTS}
        deploying = DeploymentSettings(**values.get("deploying", {}))
        return cls(**{**values, **lists, "deploying": deploying})
