"""Chooses how a Python project's packages are installed: by its lock file's tool, else from its manifests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from stackyn_server.buildplan.formats.structured_files import table, texts
from stackyn_server.buildplan.project import Project, undetected
from stackyn_server.buildplan.runtimes.python.manifests import (
    CONDA,
    PIPFILE,
    PIPFILE_LOCK,
    PYPROJECT,
    SETUP_CFG,
    SETUP_PY,
    Manifests,
)
from stackyn_server.buildplan.runtimes.python.poetry import as_requirements
from stackyn_server.buildplan.runtimes.python.workspace import Member, find_member
from stackyn_server.buildplan.versions.requirement import Dialect
from stackyn_server.buildplan.versions.version_files import version_in_tool_files

# The folder that uv and Poetry use too; the context leaves out a committed one.
VENV = "/app/.venv"
_PIP = "pip install --no-cache-dir"


@dataclass(frozen=True, slots=True)
class InstallTool:
    """A tool that installs into the active virtual environment. The tool is kept apart from the app's packages."""

    name: str
    requirements: tuple[str, ...]
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock file and its tool. `resolve` installs without the lock; `project` also installs the project itself."""

    name: str
    tool: InstallTool
    install: str
    project: str
    resolve: str = ""


@dataclass(frozen=True, slots=True)
class PythonInstall:
    """`files` are copied before `command` runs, so that its layer stays cached until they change; empty: all files.

    `project` runs after the project's files are copied. `is_bare`: the tool brings no setuptools, which packages from
    before Python 3.12 expect. `member`: the package is a member of a workspace, which needs all the workspace's files.
    """

    reason: str
    command: str
    files: tuple[str, ...] = ()
    project: str = ""
    tool: InstallTool | None = None
    is_bare: bool = False
    member: Member | None = None

    @property
    def manifest(self) -> str:
        """The file that the reason names first."""
        return self.reason.split("`")[1] if "`" in self.reason else PYPROJECT


_UV = InstallTool(
    "uv",
    ("uv>=0.5,<1",),
    (f"UV_PROJECT_ENVIRONMENT={VENV}", "UV_PYTHON_DOWNLOADS=never", "UV_NO_CACHE=1", "UV_LINK_MODE=copy"),
)
_POETRY = InstallTool("poetry", ("poetry>=1.8,<3", "poetry-plugin-export"))
# PDM does not start with hishel 2 (tried with 2.29.4).
_PDM = InstallTool("pdm", ("pdm>=2.10,<3", "hishel<2"), ("PDM_CHECK_UPDATE=0",))
_PIPENV = InstallTool("pipenv", ("pipenv>=2024",), ("PIPENV_NOSPIN=1",))
_EXPORTED = "/tmp/requirements.txt"
_LOCK_FILES = (
    LockFile(
        "uv.lock",
        _UV,
        "uv sync --frozen --no-dev --no-install-project",
        "uv sync --frozen --no-dev",
        "uv sync --no-dev",
    ),
    LockFile(
        "poetry.lock",
        _POETRY,
        # pip installs what Poetry has locked: Poetry itself needs more than a package index serves.
        f"poetry export --only main --output {_EXPORTED}{{options}} && {_PIP} --no-deps -r {_EXPORTED}",
        f"{_PIP} --no-deps .",
    ),
    LockFile("pdm.lock", _PDM, "pdm sync --prod --no-self", "pdm sync --prod"),
    LockFile("pylock.toml", _UV, "uv pip sync pylock.toml", "uv pip install --no-deps ."),
    LockFile(PIPFILE_LOCK, _PIPENV, "pipenv sync", "pip install --no-deps .", "pipenv lock && pipenv sync"),
)
_LOCK_FILES_BY_NAME = {lock_file.name: lock_file for lock_file in _LOCK_FILES}
_NEWEST = "there is no lock file, so the newest versions that fit are taken"


def plan_installation(project: Project, manifests: Manifests) -> PythonInstall | None:
    """Return how the packages are installed, with the requested version of the tool; None for a project that names no
    packages. Raises `DeploymentFailed` for a project that only conda can install."""
    installation = _installation(project, manifests)
    if installation is None or installation.tool is None:
        return installation
    return replace(installation, tool=_requested_tool(project, installation.tool))


def _requested_tool(project: Project, tool: InstallTool) -> InstallTool:
    requested = version_in_tool_files(project.text, tool.name, Dialect.PYTHON)
    version = requested.requirement.text if requested else ""
    if not re.fullmatch(r"\d{1,4}(?:\.\d{1,4}){0,2}", version):
        return tool
    exact = version if version.count(".") == 2 else f"{version}.*"
    return replace(tool, requirements=(f"{tool.name}=={exact}", *tool.requirements[1:]))


def _installation(project: Project, manifests: Manifests) -> PythonInstall | None:
    """Choose by a lock file, then a requirements file, then Pipfile, pyproject.toml and setup.py."""
    if command := project.options.install_command:
        return PythonInstall("The install command of the app installs the packages.", command, is_bare=True)
    for lock_file in _LOCK_FILES:
        stands_alone = lock_file.name in (PIPFILE_LOCK, "pylock.toml")
        if project.has(lock_file.name) and (stands_alone or project.has(PYPROJECT)):
            return _locked(project, manifests, lock_file)
    if path := manifests.requirements:
        files = () if manifests.reads_files or "/" in path else (path,)
        return PythonInstall(f"`{path}` names the packages.", f"{_PIP} -r {path}", files, is_bare=True)
    if project.has(PIPFILE):
        return _unlocked(_LOCK_FILES_BY_NAME[PIPFILE_LOCK], PIPFILE, (PIPFILE,))
    if member := find_member(project, manifests):
        return _of_member(member)
    is_dynamic = "dependencies" in texts(manifests.table("project").get("dynamic"))
    if manifests.table("tool", "poetry", "dependencies") and (is_dynamic or not manifests.table("project")):
        return _of_poetry(project, manifests)
    if manifests.table("project") and (manifests.table("tool", "uv", "sources") or _is_workspace(manifests)):
        return _unlocked(_LOCK_FILES_BY_NAME["uv.lock"], PYPROJECT, ())
    if installation := _of_project(project, manifests):
        return installation
    if conda := project.first(CONDA):
        raise undetected(
            f"The packages of this Python project are in `{conda}`, for conda, which is not supported.",
            "Write them down for pip (`pip list --format=freeze > requirements.txt`), or add a Dockerfile that begins "
            "with `FROM condaforge/miniforge3`.",
        )
    return None


def _locked(project: Project, manifests: Manifests, lock_file: LockFile) -> PythonInstall:
    tool = lock_file.tool
    reason = f"`{lock_file.name}` pins the packages; {tool.name} installs them."
    if lock_file.name == "uv.lock" and (_is_workspace(manifests) or _names_paths(manifests)):
        # uv installs members and packages in folders as packages, so their files must be there.
        return PythonInstall(reason, lock_file.project, tool=tool)
    first = PIPFILE if lock_file.name == PIPFILE_LOCK else PYPROJECT
    files = () if _names_paths(manifests) else tuple(filter(project.has, (first, lock_file.name)))
    return PythonInstall(
        reason,
        lock_file.install.format(options=_export_options(manifests)),
        files,
        lock_file.project if _is_package(project, manifests) else "",
        tool,
        is_bare=lock_file.name == PIPFILE_LOCK,
    )


def _export_options(manifests: Manifests) -> str:
    # Packages from a repository or a folder have no hash, and pip requires hashes for all packages or for none.
    has_hashes = not manifests.uses_git and not _names_paths(manifests)
    has_sources = "source" in manifests.table("tool", "poetry")
    return f"{'' if has_hashes else ' --without-hashes'}{'' if has_sources else ' --without-urls'}"


def _of_poetry(project: Project, manifests: Manifests) -> PythonInstall:
    reason = f"`{PYPROJECT}` names the packages for Poetry. Commit `poetry.lock`: {_NEWEST}."
    if _is_package(project, manifests):
        return PythonInstall(reason, f"{_PIP} .", is_bare=True)
    requirements = as_requirements(manifests.table("tool", "poetry", "dependencies"))
    files = () if _names_paths(manifests) else (PYPROJECT,)
    command = f"{_PIP} {shlex.join(requirements)}" if requirements else "true"
    return PythonInstall(reason, command, files, is_bare=True)


def _of_member(member: Member) -> PythonInstall:
    locked = "`uv.lock` there pins the packages." if member.has_lock else f"Commit its `uv.lock`: {_NEWEST}."
    root = member.root or "the top"
    return PythonInstall(
        f"`{PYPROJECT}` makes it {member.name} of the workspace in {root}; uv installs it. {locked}",
        f"uv sync{' --frozen' if member.has_lock else ''} --no-dev --package {shlex.quote(member.name)}",
        tool=_UV,
        member=member,
    )


def _unlocked(lock_file: LockFile, manifest: str, files: tuple[str, ...]) -> PythonInstall:
    name, tool = lock_file.name, lock_file.tool
    reason = f"`{manifest}` names the packages; {tool.name} installs them. Commit `{name}`: {_NEWEST}."
    return PythonInstall(reason, lock_file.resolve, files, tool=tool, is_bare=name == PIPFILE_LOCK)


def _of_project(project: Project, manifests: Manifests) -> PythonInstall | None:
    declared = manifests.table("project")
    requirements = manifests.declared
    is_dynamic = "dependencies" in texts(declared.get("dynamic"))
    old = project.first((SETUP_PY, SETUP_CFG))
    is_old_package = old == SETUP_PY or "install_requires" in (project.text(SETUP_CFG) or "")
    if old and is_old_package and not (declared and PYPROJECT in project.files):
        # pip requires setup.py or pyproject.toml; an empty one is enough.
        command = f"{_PIP} ." if old == SETUP_PY else f"touch {PYPROJECT} && {_PIP} ."
        return PythonInstall(f"`{old}` makes it a package, and there is no lock file.", command, is_bare=True)
    names_no_packages = "build-system" in manifests.pyproject and declared and not requirements
    if is_dynamic or names_no_packages or _is_package(project, manifests):
        reason = f"`{PYPROJECT}` makes it a package, and there is no lock file."
        return PythonInstall(reason, f"{_PIP} .", is_bare=True)
    if requirements:
        reason = f"`{PYPROJECT}` names the packages, and {_NEWEST}."
        return PythonInstall(reason, f"{_PIP} {shlex.join(requirements)}", (PYPROJECT,), is_bare=True)
    return None


def _is_workspace(manifests: Manifests) -> bool:
    return bool(manifests.table("tool", "uv", "workspace"))


def _names_paths(manifests: Manifests) -> bool:
    """True when a dependency is a folder of the project."""
    sources = [*manifests.table("tool", "uv", "sources").values()]
    sources += manifests.table("tool", "poetry", "dependencies").values()
    sources += table(manifests.pipfile, "packages").values()
    return any(isinstance(source, dict) and ("path" in source or "workspace" in source) for source in sources)


def _is_package(project: Project, manifests: Manifests) -> bool:
    """True when there is a build system, and a package folder by its conventions or its configuration."""
    is_application = manifests.table("tool", "poetry").get("package-mode") is False
    if is_application or "build-system" not in manifests.pyproject:
        return False
    return any(project.has(f"{folder}/__init__.py") for folder in _package_folders(project, manifests))


def _package_folders(project: Project, manifests: Manifests) -> Iterator[str]:
    name = str(manifests.table("project").get("name") or manifests.table("tool", "poetry").get("name") or "")
    module = re.sub(r"[-.]+", "_", name).lower()
    yield from (f"{prefix}{module}" for prefix in ("", "src/") if module)
    yield from texts(manifests.table("tool", "hatch", "build", "targets", "wheel").get("packages"))
    parts = (path.split("/") for path in sorted(project.files) if path.startswith("src/"))
    yield from (f"src/{folder}" for _, folder, *rest in parts if rest == ["__init__.py"])
