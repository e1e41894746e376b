"""The base images that generated Dockerfiles can build on: a catalogue, and the choice of a version from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from stackyn_server.buildplan.versions.requirement import Asked, choose, line_of
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode

# How sentences name a tool where its own name is not simply capitalised.
_TITLES = {"base": "Debian", "node": "Node", "php": "PHP", "dotnet": ".NET", "cpp": "C++"}


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image that a generated Dockerfile begins with. `tool` and `version` say from what it is made."""

    name: str
    tool: str
    version: str


@dataclass(frozen=True, slots=True)
class Tool:
    """The base images of one tool: `<repository>:<version>`.

    `versions` are release lines (`3.13`, `22`) or full versions. `default` is taken where the project asks for none,
    and where it is among those that are asked for; those of `seldom` only where no other is. With `has_all_patches`,
    each patch of a line can be had by its number, as with official images; else those of `releases` can, and a line has
    one, whatever its number: that of `release_of_line`, where it is known. With `has_build_image`, there is also
    `<repository>:<version>-build` with compilers and the usual headers on top. What compilers make runs without them:
    `runs_on` names the image for that by version, with the same libraries of the system.
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


@dataclass(frozen=True, slots=True)
class Choice:
    """A base image, the image to compile on when there is one of its own, and the sentence that says why."""

    image: BaseImage
    build_image: BaseImage | None
    reason: str


@dataclass(frozen=True, slots=True)
class Toolchains:
    """The catalogue: tool to its base images. `source` is where they come from, `registry` or `local`.

    What is `pinned` wins over what a project asks for, and what is `hinted` does where there is such a version.
    """

    tools: Mapping[str, Tool]
    source: str = "local"
    pinned: Mapping[str, Asked] = field(default_factory=dict)
    hinted: Mapping[str, Asked] = field(default_factory=dict)

    @classmethod
    def of_images(cls, **images: str) -> Self:
        """Return a catalogue with one version of each tool, from `python="stackyn/python:3.11"`."""
        tools = {}
        for tool, image in images.items():
            repository, _, version = image.rpartition(":")
            tools[tool] = Tool(repository, (version,), version)
        return cls(tools)

    def pinning(self, tool: str, asked: Asked) -> Toolchains:
        """Return the same catalogue, in which the owner's version of a tool wins over what a project asks for."""
        return replace(self, pinned={**self.pinned, tool: asked})

    def hinting(self, tool: str, asked: Asked) -> Toolchains:
        """Return the same catalogue, in which a version of a tool that another host is told wins, if it is here."""
        return replace(self, hinted={**self.hinted, tool: asked})

    def choose(self, tool: str, asked: Asked | None = None) -> Choice:
        """Return the base image for what a project asks for.

        Raises `DeploymentFailed` with VERSION_UNAVAILABLE, naming what is asked for and what there is.
        """
        hint = self.hinted.get(tool)
        if tool in self.pinned or hint is None:
            return self._chosen(tool, self.pinned.get(tool, asked))
        try:
            return self._chosen(tool, hint)
        except DeploymentFailed:
            choice = self._chosen(tool, asked)
            aside = f"{hint.origin} asks for {hint.requirement.text}, which this server does not have."
            return replace(choice, reason=f"{choice.reason} {aside}")

    def _chosen(self, tool: str, asked: Asked | None) -> Choice:
        title = _TITLES.get(tool, tool.capitalize())
        entry = self.tools.get(tool)
        if entry is None:
            raise _unavailable(f"The project needs {title}, and this server has no {title}.", "")
        if asked is None:
            return self._choice(
                tool, entry, entry.default, f"{title} {entry.default} is the server's default."
            )
        text = asked.requirement.text or "any version"
        seldom = () if asked.requirement.wants_newest else entry.seldom
        usual = (version for version in entry.versions if version not in seldom)
        version = choose(asked.requirement, usual, entry.default) or choose(asked.requirement, seldom)
        if version is None:
            who = f"{asked.origin[:1].upper()}{asked.origin[1:]}"
            raise _unavailable(
                f"{who} asks for {title} {text}, and this server has {title} {_listed(entry.versions)}.",
                f"Ask for {title} {_listed(entry.versions, 'or')} in {asked.origin}, or",
            )
        line = version
        # Of free-threaded builds each line has one.
        exact = None if asked.requirement.is_free_threaded else asked.requirement.narrowest
        here = entry.release_of_line.get(line)
        if exact and entry.has_all_patches:
            # The image of a line is its newest patch, which is mended the longest.
            version = line if asked.requirement.allows_newest_of(line) else exact
        elif exact or (here and choose(asked.requirement, [here]) is None):
            of_line = (release for release in entry.releases if release.startswith(f"{line}."))
            version = choose(asked.requirement, of_line) or version
        return self._choice(
            tool, entry, version, f"{title} {version} is taken, because {asked.origin} asks for {text}.", line
        )

    def _choice(self, tool: str, entry: Tool, version: str, reason: str, line: str = "") -> Choice:
        image = BaseImage(entry.image(version), tool, version)
        if runs_on := entry.runs_on.get(line or version):
            repository, _, its_version = runs_on.rpartition(":")
            return Choice(BaseImage(runs_on, repository.rpartition("/")[2], its_version), image, reason)
        build = f"{version}-build"
        return Choice(
            image,
            BaseImage(entry.image(build), tool, build) if entry.has_build_image else None,
            reason,
        )

    def as_json(self) -> dict[str, Any]:
        return {"source": self.source, "tools": {name: asdict(tool) for name, tool in self.tools.items()}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        tools = {
            name: Tool(**{**tool, **{key: tuple(tool[key]) for key in ("versions", "releases", "seldom")}})
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
