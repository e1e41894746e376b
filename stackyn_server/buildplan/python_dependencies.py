"""Which Python packages a project asks for, and how they are installed. Pure reading of manifests."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from stackyn_server.buildplan.project import Project, undetected

REQUIREMENTS = "requirements.txt"
PYPROJECT = "pyproject.toml"
PIPFILE_LOCK = "Pipfile.lock"
VENV = "/opt/venv"
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
# What begins a line that reads another file or folder of the project, which must be there before pip runs.
_FILES_OPTIONS = ("-r", "-c", "-e", "--requirement", "--constraint", "--editable", ".", "/", "file:")


@dataclass(frozen=True, slots=True)
class Locker:
    """A tool that installs from its own lock file, into the virtual environment that is active.

    `project` installs the project itself on top, for one that is a package.
    """

    lock: str
    tool: str
    requirement: str
    install: str
    project: str
    environment: tuple[str, ...] = ()


_UV = ("UV_PROJECT_ENVIRONMENT=/opt/venv", "UV_PYTHON_DOWNLOADS=never", "UV_NO_CACHE=1", "UV_LINK_MODE=copy")
LOCKERS = (
    Locker(
        "uv.lock",
        "uv",
        "uv>=0.5,<1",
        "uv sync --frozen --no-dev --no-install-project",
        "uv sync --frozen --no-dev",
        _UV,
    ),
    Locker(
        "poetry.lock",
        "poetry",
        "poetry>=1.8,<3",
        "poetry install --only main --no-root --no-interaction --no-cache",
        "poetry install --only main --no-interaction --no-cache",
    ),
    Locker(
        "pdm.lock",
        "pdm",
        "pdm>=2.10,<3",
        "pdm sync --prod --no-self",
        "pdm sync --prod",
        ("PDM_CHECK_UPDATE=0",),
    ),
    Locker("pylock.toml", "uv", "uv>=0.8,<1", "uv pip sync pylock.toml", "uv pip install --no-deps .", _UV),
    Locker(PIPFILE_LOCK, "pipenv", "pipenv>=2024", "pipenv sync", "pip install --no-deps ."),
)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What is installed. `names` are the normalised names that the project asks for itself, with their extras.

    `files` are copied before `install` runs, so that its layer is kept until they change; empty: all files are needed.
    `tool` is installed apart from the app's own packages. `project` runs when the project's files are there.
    """

    reason: str
    names: Mapping[str, frozenset[str]]
    files: tuple[str, ...]
    install: str
    locker: Locker | None = None
    project: str = ""

    def has(self, name: str) -> bool:
        return name in self.names


MANIFESTS = (REQUIREMENTS, PYPROJECT, "setup.py", "Pipfile", *(locker.lock for locker in LOCKERS))


def read_dependencies(project: Project) -> Dependencies | None:
    """Return how the project's packages are installed, or None for one that names none.

    A lock file wins, then requirements.txt, then pyproject.toml. Raises `DeploymentFailed` for a pyproject.toml that
    is no TOML.
    """
    manifest = _pyproject(project)
    names = _names(project, manifest)
    for locker in LOCKERS:
        if project.has(locker.lock) and (
            project.has(PYPROJECT) or locker.lock in (PIPFILE_LOCK, "pylock.toml")
        ):
            return _locked(project, manifest, names, locker)
    if project.has(REQUIREMENTS):
        needs_files = any(map(_reads_files, requirement_lines(project.text(REQUIREMENTS) or "")))
        return Dependencies(
            f"`{REQUIREMENTS}` names the packages.",
            names,
            () if needs_files else (REQUIREMENTS,),
            f"pip install --no-cache-dir -r {REQUIREMENTS}",
        )
    declared = _table(manifest, "project")
    if project.has("setup.py") or (
        "build-system" in manifest and (declared or _is_package(project, manifest))
    ):
        which = "setup.py" if project.has("setup.py") and not declared else PYPROJECT
        reason = f"`{which}` makes it a package, and there is no lock file."
        return Dependencies(reason, names, (), "pip install --no-cache-dir .")
    if wanted := [
        text for text in declared.get("dependencies", ()) if isinstance(text, str) and text.isprintable()
    ]:
        reason = f"`{PYPROJECT}` names the packages, and there is no lock file, so their newest versions are taken."
        return Dependencies(reason, names, (PYPROJECT,), f"pip install --no-cache-dir {shlex.join(wanted)}")
    return None


def requirement_lines(text: str) -> list[str]:
    """Return the lines of a requirements file as pip reads them: joined at backslashes, without comments.

    By lines, never by an expression over the whole text: hashed requirements have megabytes.
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


def _reads_files(line: str) -> bool:
    _, is_by_address, address = line.partition("@")
    return line.startswith(_FILES_OPTIONS) or (
        is_by_address != "" and address.lstrip().startswith(("file:", "."))
    )


def _locked(
    project: Project, manifest: Mapping[str, Any], names: Mapping[str, frozenset[str]], locker: Locker
) -> Dependencies:
    first = "Pipfile" if locker.lock == PIPFILE_LOCK else PYPROJECT
    files = tuple(name for name in (first, locker.lock) if project.has(name))
    return Dependencies(
        f"`{locker.lock}` pins the packages; {locker.tool} installs them.",
        names,
        files,
        locker.install,
        locker,
        locker.project if _is_package(project, manifest) else "",
    )


def _is_package(project: Project, manifest: Mapping[str, Any]) -> bool:
    """True when there is a build system and a folder that it would find by the project's name, or by a src folder."""
    if "build-system" not in manifest:
        return False
    name = str(
        _table(manifest, "project").get("name") or _table(manifest, "tool", "poetry").get("name") or ""
    )
    module = re.sub(r"[-.]+", "_", name)
    found = (project.has(f"{place}{module}/__init__.py") for place in ("", "src/"))
    return bool(module) and any(found)


def _pyproject(project: Project) -> dict[str, Any]:
    text = project.text(PYPROJECT)
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise undetected(
            f"{PYPROJECT} is not valid TOML.",
            "Correct the line that the evidence names, then push again.",
            str(error),
        ) from error


def _names(project: Project, manifest: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    lines = [line for line in requirement_lines(project.text(REQUIREMENTS) or "") if not line.startswith("-")]
    tables = [_table(manifest, "tool", "poetry", "dependencies")]
    with suppress(tomllib.TOMLDecodeError):  # pipenv says it better, in the build log
        tables.append(_table(tomllib.loads(project.text("Pipfile") or ""), "packages"))
    names = _parsed([*lines, *_declared(manifest)])
    for table in tables:
        for name, wanted in table.items():
            extras = wanted.get("extras", ()) if isinstance(wanted, dict) else ()
            names[_normal(name)] = frozenset(str(extra) for extra in extras)
    return names


def _declared(manifest: Mapping[str, Any]) -> list[str]:
    wanted = _table(manifest, "project").get("dependencies")
    return (
        [text for text in wanted if isinstance(text, str) and text.isprintable()]
        if isinstance(wanted, list)
        else []
    )


def _table(manifest: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a table of a manifest, empty when there is none or something else has its name."""
    for key in keys:
        value = manifest.get(key)
        manifest = value if isinstance(value, dict) else {}
    return manifest


def _parsed(lines: Iterable[str]) -> dict[str, frozenset[str]]:
    found = (match for line in lines if (match := _NAME.match(line)))
    return {
        _normal(match.group(1)): frozenset(
            extra.strip() for extra in (match.group(2) or "").split(",") if extra.strip()
        )
        for match in found
    }


def _normal(name: str) -> str:
    """Normalise a package name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
