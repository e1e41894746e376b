"""The base images that generated Dockerfiles can build on: a catalogue, and the choice of a version from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from stackyn_server.buildplan.versions.requirement import VersionRequest, choose, line_of
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode

# How sentences name a tool where its own name is not simply capitalised.
_TITLES = {"base": "Debian", "node": "Node", "php": "PHP", "dotnet": ".NET", "cpp": "C++"}


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image that a generated Dockerfile begins with: `<repository>:<version>`."""

    name: str

    @property
    def version(self) -> str:
        return self.name.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class ToolBaseImages:
    """The base images of one tool: `<repository>:<version>`.

    `versions` are release lines (`3.13`, `22`) or full versions. `default` is taken where the project asks for no
    version, and where its requirement allows the default; a version of `seldom` only where no other one is allowed.
    With `has_all_patches`, each patch release has an image of its number, as with official images. Without, only
    `releases` have one, and the image of a line holds the release that `release_of_line` names, where that is known.
    With `has_build_image`, there is also `<repository>:<version>-build` with compilers and the usual headers on top.
    A compiled program runs without its compiler: `runs_on` names, by version, the image that it runs in, which has the
    same libraries of the system.
    """

    repository: str
    versions: tuple[str, ...]
    default: str
    has_all_patches: bool = False
    releases: tuple[str, ...] = ()
    release_of_line: Mapping[str, str] = field(default_factory=dict)
    has_build_image: bool = False
    runs_on: Mapping[str, str] = field(default_factory=dict)
    seldom: tuple[str, ...] = ()

    def image(self, version: str) -> str:
        return f"{self.repository}:{version}"

    def choice(self, version: str, line: str, reason: str) -> ImageChoice:
        """Return the images of a version of a release line."""
        image = BaseImage(self.image(version))
        if line in self.runs_on:
            return ImageChoice(BaseImage(self.runs_on[line]), image, reason)
        build_image = BaseImage(self.image(f"{version}-build")) if self.has_build_image else None
        return ImageChoice(image, build_image, reason)


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """A base image, the image to compile on when there is one of its own, and the sentence that says why."""

    image: BaseImage
    build_image: BaseImage | None
    reason: str


@dataclass(frozen=True, slots=True)
class Toolchains:
    """The catalogue: tool to its base images. `source` is where they come from, `registry` or `local`.

    A `pinned` version wins over the version that a project asks for; a `hinted` one wins where this server has it.
    """

    tools: Mapping[str, ToolBaseImages]
    source: str = "local"
    pinned: Mapping[str, VersionRequest] = field(default_factory=dict)
    hinted: Mapping[str, VersionRequest] = field(default_factory=dict)

    def with_pinned(self, tool: str, requested: VersionRequest) -> Toolchains:
        """Return the same catalogue, in which the owner's version of a tool wins over what a project asks for."""
        return replace(self, pinned={**self.pinned, tool: requested})

    def with_hint(self, tool: str, requested: VersionRequest) -> Toolchains:
        """Return the same catalogue, in which a version set for another host wins, if this server has it."""
        return replace(self, hinted={**self.hinted, tool: requested})

    def choose(self, tool: str, requested: VersionRequest | None = None) -> ImageChoice:
        """Return the base images of a tool for the version that a project asks for.

        Raises `DeploymentFailed` with VERSION_UNAVAILABLE, which names the requested version and those available.
        """
        hint = self.hinted.get(tool)
        if tool in self.pinned or hint is None:
            return self._chosen_image(tool, self.pinned.get(tool, requested))
        try:
            return self._chosen_image(tool, hint)
        except DeploymentFailed:
            choice = self._chosen_image(tool, requested)
            aside = f"{hint.origin} asks for {hint.requirement.text}, which this server does not have."
            return replace(choice, reason=f"{choice.reason} {aside}")

    def _chosen_image(self, tool: str, requested: VersionRequest | None) -> ImageChoice:
        title = _TITLES.get(tool, tool.capitalize())
        images = self.tools.get(tool)
        if images is None:
            raise _unavailable(f"The project needs {title}, and this server has no {title}.", "")
        if requested is None:
            reason = f"{title} {images.default} is the server's default."
            return images.choice(images.default, images.default, reason)
        text = requested.requirement.text or "any version"
        seldom = () if requested.requirement.wants_newest else images.seldom
        preferred = (version for version in images.versions if version not in seldom)
        version = choose(requested.requirement, preferred, images.default) or choose(
            requested.requirement, seldom
        )
        if version is None:
            who = f"{requested.origin[:1].upper()}{requested.origin[1:]}"
            raise _unavailable(
                f"{who} asks for {title} {text}, and this server has {title} {_listed(images.versions)}.",
                f"Ask for {title} {_listed(images.versions, 'or')} in {requested.origin}, or",
            )
        line = version
        # Each line has one free-threaded build.
        exact = None if requested.requirement.is_free_threaded else requested.requirement.narrowest
        release = images.release_of_line.get(line)
        if exact and images.has_all_patches:
            # The image of a line holds its newest patch release, which gets security updates the longest.
            version = line if requested.requirement.allows_newest_of(line) else exact
        elif exact or (release and choose(requested.requirement, [release]) is None):
            of_line = (release for release in images.releases if release.startswith(f"{line}."))
            version = choose(requested.requirement, of_line) or version
        reason = f"{title} {version} is taken, because {requested.origin} asks for {text}."
        return images.choice(version, line, reason)

    def as_json(self) -> dict[str, Any]:
        return {"source": self.source, "tools": {name: asdict(tool) for name, tool in self.tools.items()}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        tools = {
            name: ToolBaseImages(
                **{**tool, **{key: tuple(tool[key]) for key in ("versions", "releases", "seldom")}}
            )
            for name, tool in stored["tools"].items()
        }
        return cls(tools, stored["source"])


def _unavailable(message: str, hint: str) -> DeploymentFailed:
    hint = f"{hint} add a Dockerfile that begins with the image you need.".strip()
    return DeploymentFailed(Failure(FailureCode.VERSION_UNAVAILABLE, message, hint[0].upper() + hint[1:]))


def _listed(versions: tuple[str, ...], last: str = "and") -> str:
    """Return `3.11, 3.13 and 3.14`, the oldest first."""
    ordered = sorted(versions, key=lambda version: line.low if (line := line_of(version)) else (0, 0, 0))
    return f" {last} ".join(filter(None, (", ".join(ordered[:-1]), ordered[-1])))
