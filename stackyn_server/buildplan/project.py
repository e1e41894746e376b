"""The input of planning: the files of a commit below its root directory, and the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.formats.text import decode
from stackyn_server.buildplan.versions.toolchains import Toolchains
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode

# The settings file of this platform in a repository.
SETTINGS = "stackyn.toml"


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The owner's settings and the platform's.

    `dockerfile_path` is relative to `root_directory` or to the top of the repository, `build_target` a stage of the
    own Dockerfile. None means unset. `origins` names the file that each setting comes from, `host_variables` are
    variables of the app that configure another host's build. `toolchains` are the base images of generated
    Dockerfiles: the user `app` (1000:1000), its folder /app, and in the Python image python3 with venv and pip, in the
    Node image node with npm, in the static one a web server that serves /srv/site on $PORT by its own CMD. The host's
    certificates are inside them.
    """

    toolchains: Toolchains
    default_port: int
    root_directory: str | None = None
    dockerfile_path: str | None = None
    build_target: str | None = None
    start_command: str | None = None
    install_command: str | None = None
    build_command: str | None = None
    release_command: str | None = None
    publish_directory: str | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    use_dockerfile: bool | None = None
    port: int | None = None
    health_path: str | None = None
    health_timeout_seconds: int | None = None
    build_memory_mb: int | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    host_variables: Mapping[str, str] = field(default_factory=dict)

    def is_set_by_owner(self, key: str) -> bool:
        """True when the owner sets it for this platform: in the app's settings or in stackyn.toml."""
        origin = self.origins.get(key, SETTINGS)
        return getattr(self, key) is not None and origin.rpartition("/")[2] == SETTINGS


@dataclass(frozen=True, slots=True)
class Project:
    """The files below the root directory.

    `contents` has what the files hold, by their path from the top of the commit. Any of them may be read at any time;
    those that a runtime's `needs` names are fetched together before, which spares a round trip for each.
    `everything` are all paths of the commit, from its top.
    """

    files: frozenset[str]
    contents: Mapping[str, bytes]
    options: PlanOptions
    everything: frozenset[str] = frozenset()

    def has(self, path: str) -> bool:
        return path in self.files

    def is_set_to(self, runtime: str) -> bool:
        """True when the owner sets this runtime: then no file selects another one."""
        return self.options.runtime == runtime and self.options.is_set_by_owner("runtime")

    def first(self, paths: Iterable[str]) -> str | None:
        """Return the first of `paths` that exists."""
        return next((path for path in paths if path in self.files), None)

    def read(self, path: str) -> bytes | None:
        """Return a file's content; None when there is none, or a link that leads nowhere.

        Raises `DeploymentFailed` for one that is too large to plan with (`file_sizes`).
        """
        return self.contents.get(self.prefix + path) if path in self.files else None

    def text(self, path: str) -> str | None:
        """Return a file's text as `read` does; what is no text is replaced."""
        content = self.read(path)
        return None if content is None else decode(content)

    def text_from_top(self, path: str) -> str | None:
        """Return the text of a file anywhere in the commit, by its path from the top."""
        content = self.contents.get(path) if path in self.everything else None
        return None if content is None else decode(content)

    def at(self, options: PlanOptions) -> Project:
        """Return the same commit with other options, whose root directory may be another one."""
        return Project(
            paths_below(prefix_of(options), self.everything), self.contents, options, self.everything
        )

    @property
    def prefix(self) -> str:
        """The root directory with a slash behind it, or nothing."""
        return prefix_of(self.options)

    @property
    def folders(self) -> frozenset[str]:
        """The folders in the root."""
        return frozenset(path.split("/")[0] for path in self.files if "/" in path)

    @property
    def port(self) -> int:
        return self.options.port or self.options.default_port


@dataclass(frozen=True, slots=True)
class Runtime:
    """One row of the detection table. `needs` chooses the files that `plan` is likely to read, to fetch them at once.

    `plan` returns None for a project that is not of this kind, and raises `DeploymentFailed` for one that is but can't
    be built as it stands.
    """

    name: str
    looked_for: str
    needs: Callable[[frozenset[str], PlanOptions], Iterable[str]]
    plan: Callable[[Project], BuildPlan | None]


def prefix_of(options: PlanOptions) -> str:
    return f"{options.root_directory}/" if options.root_directory else ""


def paths_below(prefix: str, paths: Iterable[str]) -> frozenset[str]:
    """Return the paths that begin with `prefix`, without it."""
    return frozenset(path.removeprefix(prefix) for path in paths if path.startswith(prefix))


def undetected(message: str, hint: str, evidence: str = "") -> DeploymentFailed:
    return DeploymentFailed(Failure(FailureCode.NOTHING_DETECTED, message, hint, evidence))
