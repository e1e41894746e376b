"""Python: packages from a lock or a manifest; the entry from the owner's settings or the source."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.instructions import SystemPackages
from stackyn_server.buildplan.generated.stages import plan_of
from stackyn_server.buildplan.languages import manifest_of_language
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes import cpp
from stackyn_server.buildplan.runtimes.node import runtime as node
from stackyn_server.buildplan.runtimes.python import django
from stackyn_server.buildplan.runtimes.python import entry as entries
from stackyn_server.buildplan.runtimes.python.dockerfile import PythonImageSpec, python_dockerfile
from stackyn_server.buildplan.runtimes.python.free_threading import free_threaded_if_asked
from stackyn_server.buildplan.runtimes.python.install import plan_installation
from stackyn_server.buildplan.runtimes.python.manifests import (
    CONDA,
    MANIFESTS,
    Manifests,
    files_to_read,
    python_version,
    read_manifests,
)
from stackyn_server.buildplan.runtimes.python.start import PACKAGES, PythonStart, find_start
from stackyn_server.buildplan.runtimes.python.system import system_packages
from stackyn_server.buildplan.runtimes.python.wheels import limited_by_wheels, without_wheel
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.toolchains import ImageChoice
from stackyn_server.domain.failures import DeploymentFailed

IGNORED = ("**/.venv", "**/venv", "**/__pycache__", "**/*.pyc")
_NODE_MANIFEST = "package.json"
_NODE_PROGRAMS = ("node", "npm", "npx", "yarn", "pnpm", "bun")


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if any(name in files for name in (*MANIFESTS, *CONDA)) or any(entries.candidate_files(files)):
        sources = (*entries.candidate_files(files), *django.settings_files(files))
        return (*files_to_read(files), PROCFILE, *sources)
    return ()


def _plan(project: Project) -> BuildPlan | None:
    manifests = read_manifests(project)
    start = find_start(project, manifests)
    has_manifest = project.first((*MANIFESTS, *CONDA)) is not None
    if not has_manifest:
        if start is None and manifest_of_language(project.files) is None and not project.has("index.html"):
            _refuse_mistake(project, "project")
        start = _without_manifest(project, start)
        if start is None:
            return None
    is_named = project.is_set_to(RUNTIME.name)
    if not has_manifest and not is_named and configured_command(project) and cpp.build_file(project):
        return None  # the command starts the program that those sources build
    if (start is None or not start.is_web) and not is_named and node.is_app(project):
        return None
    choice = _choice(project, manifests)
    installation = plan_installation(project, manifests)
    if start is None or start.command.split()[0] in _NODE_PROGRAMS:
        if installation is None or (project.has(_NODE_MANIFEST) and not is_named):
            return None
        raise _without_start(project, installation.manifest)
    system, collect = _system(project, manifests, choice), django.collect_command(project)
    spec = PythonImageSpec(project, choice, installation, start, system, collect)
    copies = installation.files if installation else ()
    plan = plan_of(project, RUNTIME.name, _reasons(spec), python_dockerfile(spec), IGNORED, copies)
    member = installation.member if installation else None
    return replace(plan, root=member.root if member else None)


def _refuse_mistake(project: Project, what: str) -> None:
    if mistaken := entries.first_syntax_error(project):
        raise undetected(
            f"{mistaken}. Nothing else says how to start this Python {what}.",
            "Correct that line, or set the app's start command, then push again.",
        )


def _without_start(project: Project, manifest: str) -> Exception:
    _refuse_mistake(project, f"project ({manifest})")
    several = entries.competing_apps(project)
    if len(several) > 1:
        names = ", ".join(f"`{entry.path}`" for entry in several[:10])
        return undetected(
            f"This Python project ({manifest}) has {len(several)} web applications, and nothing says which one to "
            f"start: {names}.",
            f"Set the app's start command, or add a {PROCFILE} with a line such as "
            f"`web: gunicorn {several[0].target}`.",
        )
    return undetected(
        f"This is a Python project ({manifest}), but nothing says how to start it.",
        f"Set the app's start command, add a {PROCFILE} with a line such as `web: gunicorn app:app`, or name the "
        "main file main.py or app.py.",
    )


def _choice(project: Project, manifests: Manifests) -> ImageChoice:
    requested, toolchains = python_version(project, manifests), project.options.toolchains
    best = limited_by_wheels(requested, manifests.pins, manifests.least)
    try:
        return toolchains.choose("python", free_threaded_if_asked(project, best))
    except DeploymentFailed:  # no such Python is here: pip reports what it can't install
        return toolchains.choose("python", free_threaded_if_asked(project, requested))


def _without_manifest(project: Project, start: PythonStart | None) -> PythonStart | None:
    """Return the start of Python files without a manifest, and add the frameworks that they import.

    None if they are only tools of another project, or belong to a folder's project. Raises `DeploymentFailed` for a web
    application that imports more than frameworks.
    """
    entry = next(iter(entries.find_entries(project)), None)
    if start is None or (entry and _is_of_folder(project, entry)):
        return None
    is_named = project.is_set_to(RUNTIME.name)
    is_tool = not is_named and project.first((_NODE_MANIFEST, "index.html")) is not None
    if is_tool and (entry is None or "/" in entry.path or project.has(_NODE_MANIFEST) or not _is_web(entry)):
        return None
    if project.options.install_command or project.options.build_command or entry is None:
        return start if any(path.endswith(".py") for path in project.files) else None
    missing = _missing_packages(project, entry)
    if unknown := [name for name in missing if name not in PACKAGES]:
        raise undetected(
            f"`{entry.path}` imports {', '.join(unknown)}, and no file names the packages of this Python project.",
            "Add a requirements.txt with them, one a line, then push again.",
        )
    added_packages = [package for name in missing if (package := PACKAGES[name]) not in start.adds]
    if not added_packages:
        return start
    reason = f"`{entry.path}` imports {', '.join(added_packages)}, and no manifest has it: it is added."
    return replace(start, adds=(*added_packages, *start.adds), reasons=(*start.reasons, reason))


def _is_of_folder(project: Project, entry: entries.PythonEntry) -> bool:
    """True for an entry in a folder with a manifest of its own: the entry is another project's."""
    return any(project.has(f"{folder}{name}") for folder in entry.folders for name in MANIFESTS)


def _is_web(entry: entries.PythonEntry) -> bool:
    return bool(entry.framework or entry.imports & PACKAGES.keys())


def _missing_packages(project: Project, entry: entries.PythonEntry) -> list[str]:
    """Return the modules that a web application imports from neither Python nor the project; empty for a plain script,
    which may run without them."""
    own = {part.removesuffix(".py") for path in project.files for part in path.split("/")}
    return sorted(entry.imports - own - sys.stdlib_module_names) if _is_web(entry) else []


def _system(project: Project, manifests: Manifests, choice: ImageChoice) -> SystemPackages:
    is_compiled = choice.image.version.endswith("t")
    return system_packages(
        manifests.all_names,
        manifests.names,
        choice.image.version,
        is_debian_python=project.options.toolchains.source == "local" and not is_compiled,
        uses_git=manifests.uses_git,
        without_wheel=without_wheel(manifests.pins, choice.image.version),
    )


def _reasons(spec: PythonImageSpec) -> Iterable[str]:
    installation, system = spec.installation, spec.system
    yield installation.reason if installation else "There are Python files, and no packages to install."
    yield spec.choice.reason
    if system.causes:
        need = "needs" if len(system.causes) == 1 else "need"
        needs_sentence = f"{', '.join(system.causes)} {need} more of the system"
        compilers = (
            ", so compilers and headers are there while packages are installed" if system.build else ""
        )
        libraries = f"; the app runs with {', '.join(system.run)}" if system.run else ""
        yield f"{needs_sentence}{compilers}{libraries}."
    yield from spec.start.reasons
    if spec.collect:
        yield "The settings have STATIC_ROOT, so collectstatic is run."
    if spec.project.options.build_command:
        yield "The build command of the app is run."
    if spec.project.has(_NODE_MANIFEST):
        yield f"The Python files make the app, so `{_NODE_MANIFEST}` is not installed."


RUNTIME = Runtime(
    name="python",
    looked_for="Python (requirements.txt, pyproject.toml, a lock file, main.py or app.py)",
    needs=_needs,
    plan=_plan,
)
