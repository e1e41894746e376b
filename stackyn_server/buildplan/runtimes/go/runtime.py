"""Go: modules, workspaces and vendored packages; the commands are built, and one of them runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from posixpath import basename, dirname

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import PATH_OF_PROGRAMS, is_plain, plan_of, two_stages
from stackyn_server.buildplan.languages import has_other_app
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes.go.embedded_files import embedded_patterns
from stackyn_server.buildplan.runtimes.node.frontend import (
    EmbeddedFrontend,
    EmbeddedPath,
    build_stages,
    embedded_frontends,
    paths_to_send,
)
from stackyn_server.buildplan.runtimes.node.runtime import IGNORED
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_file, version_in_tool_files

MODULE, WORKSPACE = "go.mod", "go.work"
VERSION_FILE = ".go-version"
# The Go toolchain downloads the version that a file pins, from this version on.
_FIRST_FETCHED = (1, 21)
_MOST_SOURCES = 400
_DEEPEST = 4
_SOURCE = re.compile(r"(?!.*_test\.go$).*\.go")
_NOT_COMMANDS = re.compile(
    r"(?:^|/)(?:vendor|testdata|examples?|docs?|test|tests|tools|scripts|internal/[^/]*test[^/]*|node_modules|[_.][^/]*)/"
)
_PREFERRED = ("server", "web", "api", "app", "main", "serve", "http")
_MAIN_PACKAGE = re.compile(r"^package\s+main\b", re.MULTILINE)
# Code generators have this line above their package.
_IGNORED = re.compile(r"^//(?:go:build| ?\+build)[ \t]+ignore\b", re.MULTILINE)
# A module's path ends with its major version from the second on.
_MAJOR = re.compile(r"(?:^|/)v\d+$")
_DIRECTIVE = re.compile(r"^[ \t]*(go|toolchain|module)[ \t]+(\S+)", re.MULTILINE)


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if not _is_go(files):
        return ()
    modules = (path for path in files if path.endswith(f"/{MODULE}"))
    return (MODULE, WORKSPACE, VERSION_FILE, PROCFILE, *TOOL_FILES, *modules, *_sources(files))


def _is_go(files: frozenset[str]) -> bool:
    return MODULE in files or WORKSPACE in files or "main.go" in files


def _sources(files: Iterable[str]) -> list[str]:
    """Return the files that may hold a command, those nearest to the root first."""
    paths = (
        path
        for path in files
        if path.count("/") < _DEEPEST
        and _SOURCE.fullmatch(path)
        and is_plain(path)
        and not _NOT_COMMANDS.search(path)
    )
    return sorted(paths, key=lambda path: (path.count("/"), path))[:_MOST_SOURCES]


def _plan(project: Project) -> BuildPlan | None:
    if not _is_go(project.files):
        return None
    manifest = project.first((MODULE, WORKSPACE, "main.go"))
    configured = configured_command(project)
    commands = _commands(project)
    if not commands and has_other_app(project.files) and not project.is_set_to(RUNTIME.name):
        return None
    if not commands and not project.options.build_command:
        raise undetected(
            f"This is a Go project ({manifest}), but no folder has a `package main` to run.",
            "Set the root directory to the folder of the program, or set the build and start commands of the app.",
        )
    reasons = [f"`{manifest}` makes it a Go project."]
    if configured:
        command, reason = configured
        reasons.append(reason)
        targets = commands
    else:
        folder = _chosen_folder(project, commands)
        command = f"bin/{_name(project, folder)}"
        targets = [folder]
        reasons.append(f"The program in `{folder or '.'}` is built and run.")
        if other_programs := [f"bin/{_name(project, name)}" for name in commands if name != folder]:
            reasons.append(f"To have another one, set the start command: {', '.join(other_programs[:10])}.")
    requested = _requested_version(project)
    choice = project.options.toolchains.choose("go", requested)
    reasons.append(choice.reason)
    embedded = _embedded_frontends(project, targets)
    before, copies = build_stages(embedded)
    steps = [
        _environment(requested),
        COPY_ALL,
        *copies,
        *([run(project.options.install_command, "go")] if project.options.install_command else []),
        *(["RUN go mod init app"] if not project.first((MODULE, WORKSPACE)) else []),
        *_build(project, targets),
    ]
    text = two_stages(project, choice, steps, command, environment=[PATH_OF_PROGRAMS], before=before)
    return plan_of(
        project,
        RUNTIME.name,
        [*reasons, *(frontend.reason for frontend in embedded)],
        text,
        ignore=IGNORED if embedded else (),
        copies=paths_to_send(embedded),
    )


def _embedded_frontends(project: Project, programs: list[str]) -> list[EmbeddedFrontend]:
    """Return the frontends that build the embedded folders which the repository lacks."""
    embedded = [
        EmbeddedPath(
            path=pattern.fixed_path,
            source=pattern.source,
            description=f"`{pattern.pattern}` (//go:embed)",
            must_be_built=not pattern.is_in(project.files),
        )
        for pattern in embedded_patterns(project, programs, _modules(project))
    ]
    return embedded_frontends(project, embedded)


def _modules(project: Project) -> dict[str, str]:
    """Return the folders of the modules that are built from the repository, by their names."""
    has_several = project.has(WORKSPACE) or "=> ./" in (project.text(MODULE) or "")
    nested = (path for path in sorted(project.files) if path.endswith(f"/{MODULE}"))
    paths = [MODULE, *(nested if has_several else ())]
    names = ((_directives(project, path).get("module", "").strip('"'), dirname(path)) for path in paths)
    return {name: folder for name, folder in names if name}


def _environment(requested: VersionRequest | None) -> str:
    """Return the build's settings, with the full version that a file pins if the toolchain can download it itself."""
    settings = "ENV GOMODCACHE=/cache/modules GOCACHE=/cache/build GOFLAGS=-buildvcs=false"
    pinned = re.fullmatch(r"(?:go)?((\d+)\.(\d+)\.\d+)", requested.requirement.text) if requested else None
    is_fetched = pinned is not None and (int(pinned[2]), int(pinned[3])) >= _FIRST_FETCHED
    return f"{settings} GOTOOLCHAIN=go{pinned[1]}" if pinned and is_fetched else settings


def _build(project: Project, folders: list[str]) -> list[str]:
    if project.options.build_command:
        return [run(f"mkdir -p bin && {project.options.build_command}", "go")]
    builds = (
        f"go build -ldflags='-s -w' -o bin/{_name(project, folder)} ./{folder}".rstrip("/")
        for folder in folders
    )
    return [run(" && ".join(("mkdir -p bin", *builds)), "go")]


def _commands(project: Project) -> list[str]:
    """Return the folders with a `package main`, the nearest to the root first; the root is an empty text.

    Without a workspace, Go builds only the root's module.
    """
    nested = () if project.has(WORKSPACE) else (path for path in project.files if path.endswith(f"/{MODULE}"))
    other_modules = tuple(path.removesuffix(MODULE) for path in nested)
    folders: dict[str, None] = {}
    for path in _sources(project.files):
        folder = dirname(path)
        if folder in folders or path.startswith(other_modules):
            continue
        text = project.text(path) or ""
        if _MAIN_PACKAGE.search(text) and not _IGNORED.search(text):
            folders[folder] = None
    return list(folders)


def _chosen_folder(project: Project, commands: list[str]) -> str:
    """Return the folder of the program that serves: the root, else the only one, else the one with a usual name."""
    if "" in commands:
        return ""
    below_cmd = [folder for folder in commands if folder == "cmd" or folder.startswith("cmd/")]
    candidates = below_cmd or commands
    if len(candidates) == 1:
        return candidates[0]
    by_name = {folder.rpartition("/")[2]: folder for folder in reversed(candidates)}
    for name in (_module_name(project), *_PREFERRED):
        if name in by_name:
            return by_name[name]
    names = ", ".join(f"bin/{_name(project, folder)} ({folder})" for folder in candidates[:10])
    raise undetected(
        f"This Go project has {len(candidates)} programs, and nothing says which one serves.",
        f"Set the app's start command to one of them, or add a {PROCFILE} with `web:` and it: {names}.",
    )


def _name(project: Project, folder: str) -> str:
    """Return the name of a folder's program, as `go install` would name it."""
    name = folder.rpartition("/")[2] or _module_name(project)
    return name if is_plain(name) and "/" not in name else "app"


def _module_name(project: Project) -> str:
    module = _directives(project, MODULE).get("module", "").strip('"').rstrip("/")
    return basename(_MAJOR.sub("", module)) or "app"


def _directives(project: Project, path: str) -> dict[str, str]:
    directives: dict[str, str] = {}
    for name, value in _DIRECTIVE.findall(project.text(path) or ""):
        directives.setdefault(name, value)
    return directives


def _requested_version(project: Project) -> VersionRequest | None:
    """Return the version that a version manager's file pins, else the lowest that go.work or go.mod allows."""
    pinned = version_in_tool_files(project.text, "go", Dialect.NPM) or version_in_file(
        project.text(VERSION_FILE), VERSION_FILE, Dialect.NPM
    )
    if pinned:
        return pinned
    for path in (WORKSPACE, MODULE):
        directives = _directives(project, path)
        for name in ("toolchain", "go"):
            version = directives.get(name, "").removeprefix("go")
            if request := VersionRequest.read(f">={version}", path) if version else None:
                return request
    return None


RUNTIME = Runtime(name="go", looked_for=f"Go ({MODULE}, {WORKSPACE}, main.go)", needs=_needs, plan=_plan)
