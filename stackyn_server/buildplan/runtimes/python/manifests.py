"""Reads a Python project's manifests: its packages by name, and the version of Python that it requests. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from posixpath import dirname, join, normpath
from typing import Any

from stackyn_server.buildplan.formats.structured_files import table, texts_at
from stackyn_server.buildplan.formats.toml import parse_toml
from stackyn_server.buildplan.project import Project, undetected
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_file, version_in_tool_files
from stackyn_server.domain.failures import DeploymentFailed, FailureCode

# Requirements files in order of preference: those for production before shared ones.
REQUIREMENTS = (
    "requirements.txt", "requirements/production.txt", "requirements/prod.txt", "requirements-prod.txt",
    "requirements/base.txt", "requirements/requirements.txt", "requirements/common.txt", "requirements.in",
)  # fmt: skip
PYPROJECT, SETUP_PY, SETUP_CFG = "pyproject.toml", "setup.py", "setup.cfg"
PIPFILE, PIPFILE_LOCK = "Pipfile", "Pipfile.lock"
TOML_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
CONDA = ("environment.yml", "environment.yaml", "conda-lock.yml")
MANIFESTS = (*REQUIREMENTS, PYPROJECT, SETUP_PY, SETUP_CFG, PIPFILE, PIPFILE_LOCK, *TOML_LOCKS)
_VERSION_FILES = (".python-version", "runtime.txt")
_MOST_REQUIREMENT_FILES = 40
# Hashes continue the line of their requirement: honest files have some thousands.
_MOST_LINES = 200_000
# `*+` does not backtrack: a failed match is not tried again with fewer spaces.
_NAME = re.compile(r" *([A-Za-z0-9][A-Za-z0-9._-]*) *+(?:\[([^\]]{0,200})\])?")
_VERSIONED = r" *([A-Za-z0-9][A-Za-z0-9._-]*) *+(?:\[[^\]]{0,200}\])? *+(?:%s) *([0-9][0-9.]{0,20})"
# Without a marker: requirements with one are mostly for another Python.
_PIN = re.compile(_VERSIONED % "==" + r" *(?:--hash.*)?$")
_LEAST = re.compile(_VERSIONED % "==|>=|~=" + r"[^;]*$")
_LOCKED_NAME = re.compile(r'name = "([^"]{1,100})"')
_OTHER_FILE = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]*([^ =]\S*)")
# Lines that read another file or folder of the project, which must be there before pip runs.
_READS_FILES = (
    "-r", "-c", "-e", "-f", "--requirement", "--constraint", "--editable", "--find-links", ".", "/", "file:",
)  # fmt: skip
_LOCAL_WHEEL = re.compile(r"[^:@ ]+\.(?:whl|tar\.gz|zip)\b")

Names = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Manifests:
    """`names` are the normalised names of the packages that the project itself requires, with extras; `locked` are all
    names in its lock files, transitive ones included. `requirements` is the requirements file that is installed.
    `declared` are the dependencies of the `[project]` table, and of hatch's default environment. `pins` are the exact
    versions that the project requires, `least` the lowest ones.
    """

    pyproject: Mapping[str, Any]
    pipfile: Mapping[str, Any]
    requirements: str | None
    declared: tuple[str, ...]
    reads_files: bool
    uses_git: bool
    names: Names
    locked: frozenset[str]
    pins: Mapping[str, str]
    least: Mapping[str, str]

    @property
    def all_names(self) -> frozenset[str]:
        return self.locked | self.names.keys()

    def table(self, *keys: str) -> Mapping[str, Any]:
        return table(self.pyproject, *keys)


def files_to_read(files: frozenset[str]) -> Iterator[str]:
    """Yield the files that `read_manifests` and `python_version` look at."""
    yield from (*MANIFESTS, *_VERSION_FILES, *TOOL_FILES)
    yield from islice(filter(_is_requirements, sorted(files)), _MOST_REQUIREMENT_FILES)


def read_manifests(project: Project) -> Manifests:
    """Read the manifests. Raises `DeploymentFailed` for a pyproject.toml or Pipfile that is no TOML."""
    pyproject, pipfile = _toml(project, PYPROJECT), _toml(project, PIPFILE)
    requirements = project.first(REQUIREMENTS)
    required = list(_requirement_lines(project, requirements)) if requirements else []
    dependencies_of_tables = (
        *texts_at(pyproject, "project", "dependencies"),
        *texts_at(pyproject, "tool", "hatch", "envs", "default", "dependencies"),
    )
    declared = tuple(filter(str.isprintable, dependencies_of_tables))
    lines = [*required, *declared]
    names = _parsed(lines)
    for dependencies in (table(pyproject, "tool", "poetry", "dependencies"), table(pipfile, "packages")):
        for name, value in dependencies.items():
            extras = value.get("extras", ()) if isinstance(value, dict) else ()
            names[normal(name)] = frozenset(str(extra) for extra in extras)
    texts = [*lines, *map(str, (*table(pyproject, "tool").values(), *pipfile.values()))]
    texts += [project.text(lock) or "" for lock in TOML_LOCKS]
    return Manifests(
        pyproject,
        pipfile,
        requirements,
        declared,
        any(map(_reads_files, required)),
        any(mark in text for text in texts for mark in ("git+", "'git':", "{ git =", 'type = "git"')),
        names,
        frozenset(_locked_names(project)),
        _versions(_PIN, lines),
        _versions(_LEAST, lines),
    )


def python_version(project: Project, manifests: Manifests) -> VersionRequest | None:
    """Return the requested version of Python: from version files in the order of mise, else from the manifests."""
    if requested := version_in_tool_files(project.text, "python", Dialect.PYTHON):
        return requested
    for path in _VERSION_FILES:
        if requested := version_in_file(project.text(path), path, Dialect.PYTHON):
            return requested
    requires = table(manifests.pipfile, "requires")
    fields = (
        (requires.get("python_full_version") or requires.get("python_version"), PIPFILE),
        (manifests.table("project").get("requires-python"), f"requires-python` of `{PYPROJECT}"),
        (manifests.table("tool", "poetry", "dependencies").get("python"), PYPROJECT),
    )
    for text, origin in fields:
        if isinstance(text, str) and (request := VersionRequest.read(text, origin, Dialect.PYTHON)):
            return request
    return None


def normal(name: str) -> str:
    """Normalise a package name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_lines(text: str) -> list[str]:
    """Return the lines of a requirements file as pip reads them: joined at backslashes, without comments.

    Reads line by line, never by an expression over the whole text: hashed requirements have megabytes.
    """
    lines: list[str] = []
    parts: list[str] = []
    for line in text.splitlines():
        is_comment = line.lstrip().startswith("#")
        goes_on = line.endswith("\\") and not is_comment
        parts.append(line[:-1] if goes_on else "" if is_comment else line)
        if not goes_on:
            lines.append("".join(parts).strip())
            parts.clear()
    lines.append("".join(parts).strip())
    return [line for line in lines if line]


def _is_requirements(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    in_folder = folder in ("requirements", "reqs", "") and path.count("/") < 2
    return in_folder and name.endswith((".txt", ".in")) and ("requirements" in path or folder == "reqs")


def _requirement_lines(project: Project, path: str) -> Iterator[str]:
    """Yield the lines of a requirements file and of the files that it includes, each file once.

    Raises `DeploymentFailed` (SOURCE_TOO_LARGE) for very many lines.
    """
    waiting, visited = [path], {path}
    count = 0
    while waiting:
        current = waiting.pop()
        included: set[str] = set()
        lines = requirement_lines(project.text(current) or "")
        count += len(lines)
        if count > _MOST_LINES:
            message = f"{current} and the files that it names have more than {_MOST_LINES:,} requirements."
            hint = "Make them shorter, then deploy again."
            raise DeploymentFailed.of(FailureCode.SOURCE_TOO_LARGE, message, hint)
        for line in lines:
            yield line
            if (match := _OTHER_FILE.match(line)) and match.group(1) not in included:
                included.add(match.group(1))
                included_path = normpath(join(dirname(current), match.group(1)))
                if included_path not in visited:
                    visited.add(included_path)
                    waiting.append(included_path)


def _reads_files(line: str) -> bool:
    """True for a requirement that is a file or folder of the project, or another requirements file."""
    if line.startswith(_READS_FILES) and not line.startswith("--find-links=http"):
        return True
    _, at, location = line.partition("@")
    if at and location.strip().startswith(("file:", ".")):
        return True
    return "://" not in line and _LOCAL_WHEEL.match(line) is not None


def _toml(project: Project, path: str) -> Mapping[str, Any]:
    text = project.text(path)
    if text is None:
        return {}
    try:
        return parse_toml(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        hint = "Correct the line that the evidence names, then push again."
        raise undetected(f"{path} is not valid TOML.", hint, str(error)) from error


def _locked_names(project: Project) -> Iterator[str]:
    for lock in TOML_LOCKS:
        for line in (project.text(lock) or "").splitlines():
            if match := _LOCKED_NAME.match(line):
                yield normal(match.group(1))
    try:
        locked = json.loads(project.text(PIPFILE_LOCK) or "{}")
    except (ValueError, RecursionError):  # pipenv explains it better, in the build log
        return
    yield from (normal(name) for name in table(locked if isinstance(locked, dict) else {}, "default"))


def _versions(pattern: re.Pattern[str], lines: Iterable[str]) -> dict[str, str]:
    """Map the names in the requirements that match to the second group of the pattern; options are skipped."""
    matches = (match for line in lines if not line.startswith("-") and (match := pattern.match(line)))
    return {normal(match[1]): match[2] or "" for match in matches}


def _parsed(lines: Iterable[str]) -> dict[str, frozenset[str]]:
    """Map the names in requirements such as `Flask[async]>=3` to their extras."""
    extras_by_name = _versions(_NAME, lines)
    return {
        name: frozenset(filter(None, map(str.strip, extras.split(","))))
        for name, extras in extras_by_name.items()
    }
