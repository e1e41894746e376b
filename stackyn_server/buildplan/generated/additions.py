"""Debian packages and further tools that a project names beside its runtime.

Sources: Heroku's Aptfile, the published references of railpack.json, nixpacks.toml, their variables and mise.toml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.formats.structured_files import json_with_comments, table, texts, toml
from stackyn_server.buildplan.generated.instructions import debian_packages
from stackyn_server.buildplan.generated.stages import image_names
from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest
from stackyn_server.buildplan.versions.toolchains import Toolchains
from stackyn_server.buildplan.versions.version_files import MISE_FILES
from stackyn_server.domain.failures import DeploymentFailed

APTFILE, RAILPACK, NIXPACKS = "Aptfile", "railpack.json", "nixpacks.toml"
FILES = (APTFILE, RAILPACK, NIXPACKS, *MISE_FILES)
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{1,80}")
_MOST = 60
# Where the packages are needed.
_BUILD, _RUN = "build", "run"
_VARIABLES = {
    "RAILPACK_BUILD_APT_PACKAGES": (_BUILD,),
    "RAILPACK_DEPLOY_APT_PACKAGES": (_RUN,),
    "NIXPACKS_APT_PKGS": (_BUILD, _RUN),
}
_PACKAGES = "RAILPACK_PACKAGES"
# Tools that are all in /usr/local of their image, and what has to be set for them.
_COPIED = {"node": "", "deno": "", "go": "ENV PATH=/usr/local/go/bin:$PATH"}
# Runtimes whose compiled programs run without the compiler.
_COMPILED = frozenset(("go", "rust", "java", "dotnet", "cpp"))
# Tools that Debian has as packages.
_OF_DEBIAN = frozenset(("jq", "pipx", "ffmpeg", "imagemagick", "ripgrep", "sqlite", "protobuf", "graphviz"))
_DEBIAN_NAMES = {"sqlite": "sqlite3", "protobuf": "protobuf-compiler"}
_PYTHON_OF_DEBIAN = ("python3", "python3-venv")
_STAGE = re.compile(r"FROM (\S+/([a-z]+):\S+)( AS \S+)?")
# Where generated Dockerfiles put what they install and build.
_OUTCOME = (
    "COPY --from=build /usr/local/ /usr/local/",
    "COPY --from=build /opt/ /opt/",
    "COPY --from=build --chown=app:app /home/app/ /home/app/",
    "COPY --from=build --chown=app:app /app/ /app/",
)
_PIPX = "pipx:"
_TOOL_NAMES = {"nodejs": "node", "golang": "go"}


@dataclass(frozen=True, slots=True)
class _AddedTool:
    """A tool by its name in the catalogue, or `pipx:NAME`; `version` is empty for any."""

    name: str
    version: str
    origin: str

    def requested(self) -> VersionRequest | None:
        return VersionRequest.read(self.version, self.origin, Dialect.NPM) if self.version else None


@dataclass(slots=True)
class _Additions:
    """What is added to the stages. `swap` is a Python image that replaces a base image whose tool can be copied."""

    packages: dict[str, set[str]]
    lines: list[str]
    reasons: list[str]
    swap: str = ""


def with_pinned(project: Project) -> Toolchains:
    """Return the catalogue in which the versions that Railpack's settings name win over the project's files."""
    toolchains = project.options.toolchains
    for tool in _railpack_tools(project):
        if requested := tool.requested():
            toolchains = toolchains.with_pinned(tool.name, requested)
    return toolchains


def with_additions(project: Project, plan: BuildPlan) -> BuildPlan:
    """Add the packages and tools that the project names to a generated Dockerfile; leave the repository's own alone."""
    if plan.generated is None:
        return plan
    additions = _additions(project, plan)
    has_tools = bool(additions.packages[_BUILD] - additions.packages[_RUN])
    text = _in_two_stages(plan.generated) if has_tools else plan.generated
    text = _with_steps(text, additions, runs_alone=plan.runtime in _COMPILED)
    images = plan.base_images if text == plan.generated else image_names(text)
    return replace(plan, generated=text, reasons=(*plan.reasons, *additions.reasons), base_images=images)


def _additions(project: Project, plan: BuildPlan) -> _Additions:
    additions = _Additions({_BUILD: set(), _RUN: set()}, [], [])
    for origin, stages, names in _debian_packages(project):
        packages = [name for name in names if _NAME.fullmatch(name)][:_MOST]
        for stage in stages:
            additions.packages[stage].update(packages)
        if packages:
            additions.reasons.append(f"`{origin}` names packages of Debian: {', '.join(packages)}.")
    images = {match[2] for line in (plan.generated or "").split("\n") if (match := _STAGE.fullmatch(line))}
    if images <= {"static"}:
        return additions
    for tool in {
        tool.name: tool for tool in reversed([*_railpack_tools(project), *_mise_tools(project)])
    }.values():
        if tool.name not in images and f"--from=stackyn/{tool.name}:" not in (plan.generated or ""):
            _add_tool(project, tool, images, additions)
    return additions


def _add_tool(project: Project, tool: _AddedTool, images: set[str], additions: _Additions) -> None:
    package = tool.name.removeprefix(_PIPX)
    if package != tool.name and _NAME.fullmatch(package):
        additions.lines.append(_pipx(package))
        additions.packages[_BUILD].update(_PYTHON_OF_DEBIAN)
        additions.packages[_RUN].update(_PYTHON_OF_DEBIAN)
    elif tool.name in _OF_DEBIAN:
        for packages in additions.packages.values():
            packages.add(_DEBIAN_NAMES.get(tool.name, tool.name))
    elif tool.name == "python" or tool.name in _COPIED:
        try:
            choice = project.options.toolchains.choose(tool.name, tool.requested())
        except DeploymentFailed as failed:  # the app may do without it
            additions.reasons.append(f"{failed.failure.message} It is left out.")
            return
        image = choice.build_image or choice.image  # what a compiler makes runs in an image without it
        if tool.name in _COPIED:
            additions.lines[:0] = [
                f"COPY --from={image.name} /usr/local/ /usr/local/",
                *filter(None, [_COPIED[tool.name]]),
            ]
        elif images <= {*_COPIED, "base", "static"}:
            additions.swap = image.name
        else:
            for packages in additions.packages.values():
                packages.update(_PYTHON_OF_DEBIAN)
    else:
        return
    additions.reasons.append(f"{package} is there too, because `{tool.origin}` names it.")


def _pipx(package: str) -> str:
    folder = f"/opt/{package}"
    return (
        f"RUN python3 -m venv {folder} && {folder}/bin/pip install --no-cache-dir {package} && "
        f"find {folder}/bin -type f -perm -u+x ! -name 'pip*' ! -name 'activate*' -exec ln -s -t /usr/local/bin {{}} +"
    )


def _in_two_stages(text: str) -> str:
    """Return a Dockerfile of one stage as one of two: build packages stay in the first."""
    lines = text.split("\n")
    stages = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    ending = next((number for number, line in enumerate(lines) if line.startswith("ENV PORT=")), 0)
    stage = _STAGE.fullmatch(lines[stages[0]]) if len(stages) == 1 else None
    if stage is None or stage[2] == "static" or not ending:
        return text
    body = lines[stages[0] + 1 : ending]
    kept = [line for line in body if line.startswith(("WORKDIR ", "USER ", "ENV "))]
    first = [*lines[: stages[0]], f"{stage[0]} AS build", *body]
    return "\n".join([*first, "", stage[0], *kept, *_OUTCOME, *lines[ending:]])


def _with_steps(text: str, additions: _Additions, *, runs_alone: bool) -> str:
    """Add the steps to each stage; with `runs_alone`, the last stage gets Debian packages only."""
    lines = text.split("\n")
    stages = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    new_lines: list[str] = []
    for number, line in enumerate(lines):
        stage = _STAGE.fullmatch(line)
        is_last = bool(stages) and number == stages[-1]
        if stage is None or stage[2] == "static" or not (is_last or line.endswith(" AS build")):
            new_lines.append(line)
            continue
        copied: list[str] = []
        if runs_alone and is_last:
            new_lines += [line, *debian_packages(additions.packages[_RUN])]
            continue
        if additions.swap and stage[2] in (*_COPIED, "base"):
            line = f"FROM {additions.swap}{stage[3] or ''}"
            if setting := _COPIED.get(stage[2]):
                copied.append(setting)
            if stage[2] != "base":
                copied.append(f"COPY --from={stage[1]} /usr/local/ /usr/local/")
        packages = additions.packages[_RUN] | (
            set() if is_last and len(stages) > 1 else additions.packages[_BUILD]
        )
        if additions.swap:
            packages = packages.difference(_PYTHON_OF_DEBIAN)
        new_lines += [line, *debian_packages(packages), *copied, *additions.lines]
    return "\n".join(new_lines)


def _debian_packages(project: Project) -> Iterator[tuple[str, tuple[str, ...], Iterable[str]]]:
    """Yield (file or variable, stages that need the packages, their names)."""
    lines = (line.split("#", 1)[0].strip() for line in (project.text(APTFILE) or "").splitlines())
    yield APTFILE, (_BUILD, _RUN), [line for line in lines if line]
    railpack = json_with_comments(project, RAILPACK)
    yield RAILPACK, (_BUILD,), texts(railpack.get("buildAptPackages"))
    yield RAILPACK, (_RUN,), texts(table(railpack, "deploy").get("aptPackages"))
    phases = table(toml(project, NIXPACKS), "phases").values()
    of_phases = (texts(phase.get("aptPkgs")) for phase in phases if isinstance(phase, Mapping))
    yield NIXPACKS, (_BUILD, _RUN), [name for names in of_phases for name in names]
    for name, stages in _VARIABLES.items():
        yield name, stages, re.split(r"[\s,]+", project.options.host_variables.get(name, ""))


def _railpack_tools(project: Project) -> Iterator[_AddedTool]:
    words = (word.partition("@") for word in project.options.host_variables.get(_PACKAGES, "").split())
    yield from _tools(project, {name: version for name, _, version in words}, _PACKAGES)
    yield from _tools(project, table(json_with_comments(project, RAILPACK), "packages"), RAILPACK)


def _mise_tools(project: Project) -> Iterator[_AddedTool]:
    for path in MISE_FILES:
        yield from _tools(project, table(toml(project, path), "tools"), path)


def _tools(project: Project, versions: Mapping[str, Any], origin: str) -> Iterator[_AddedTool]:
    """Yield the first of the tools that this server can add."""
    short_names = ((str(name).removeprefix("core:"), entry) for name, entry in versions.items())
    tools = ((_TOOL_NAMES.get(short, short), entry) for short, entry in short_names)
    available = ((name, entry) for name, entry in tools if _is_available(project, name))
    for name, entry in islice(available, _MOST):
        version = entry.get("version") if isinstance(entry, Mapping) else entry
        yield _AddedTool(name, str(version) if isinstance(version, str | int | float) else "", origin)


def _is_available(project: Project, name: str) -> bool:
    return name in _OF_DEBIAN or name.startswith(_PIPX) or name in project.options.toolchains.tools
