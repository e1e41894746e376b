"""Rust: packages and workspaces of Cargo; their programs are built, and one of them runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.formats.structured_files import Table, table, text_at, texts_at, toml
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import PATH_OF_PROGRAMS, is_plain, plan_of, two_stages
from stackyn_server.buildplan.languages import has_other_app
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes.node.frontend import (
    EmbeddedFrontend,
    EmbeddedPath,
    build_stages,
    embedded_frontends,
    paths_to_send,
)
from stackyn_server.buildplan.runtimes.node.runtime import IGNORED
from stackyn_server.buildplan.runtimes.rust.embedded_folders import embedded_folders
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.requirement import (
    Dialect,
    Requirement,
    VersionRequest,
    parse_requirement,
)
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_tool_files
from stackyn_server.buildplan.workspace_patterns import names_folder

MANIFEST, LOCK = "Cargo.toml", "Cargo.lock"
TOOLCHAIN_FILES = ("rust-toolchain.toml", "rust-toolchain")
_MOST_PACKAGES = 200
_DEEPEST = 4
_PREFERRED = ("server", "web", "api", "app", "main", "backend")
# The release in which each edition came.
_OF_EDITION = {"2018": "1.31", "2021": "1.56", "2024": "1.85"}
_PROGRAM = re.compile(r"src/bin/([^/]+?)(?:\.rs|/main\.rs)")


@dataclass(frozen=True, slots=True)
class Program:
    """A program, with its package and the manifest that builds it."""

    name: str
    package: str
    manifest: str
    is_default: bool = False


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if MANIFEST not in files:
        return ()
    return (MANIFEST, *TOOLCHAIN_FILES, *TOOL_FILES, PROCFILE, "index.html", *_manifests(files))


def _manifests(files: Iterable[str]) -> list[str]:
    paths = (path for path in files if path.endswith(f"/{MANIFEST}") and path.count("/") <= _DEEPEST)
    return sorted(paths, key=lambda path: (path.count("/"), path))[:_MOST_PACKAGES]


def _plan(project: Project) -> BuildPlan | None:
    if not project.has(MANIFEST):
        return None
    workspace, folder = _workspace(project)
    plan = _plan_package(workspace, folder)
    return replace(plan, root=workspace.options.root_directory or "") if plan and folder else plan


def _workspace(project: Project) -> tuple[Project, str]:
    """Return the workspace above that has the root directory as a member, and the member's folder in it: the build
    needs the workspace's manifest, lock file and packages. Else return the project itself and an empty text."""
    parts = (project.options.root_directory or "").split("/")
    is_root = "workspace" in toml(project, MANIFEST)
    for size in range(len(parts) - 1, -1, -1) if parts != [""] and not is_root else ():
        ancestor, folder = "/".join(parts[:size]), "/".join(parts[size:])
        outer_project = _project_from(project, ancestor, folder)
        if (
            is_plain(folder)
            and outer_project.has(MANIFEST)
            and f"{folder}/{MANIFEST}" in _members(outer_project, toml(outer_project, MANIFEST))
        ):
            return outer_project, folder
    return project, ""


def _project_from(project: Project, ancestor: str, folder: str) -> Project:
    """Return the project from a folder above; the owner's commands change to their own folder first."""
    options = project.options
    install, build = (
        command and f"cd {folder} && {command}"
        for command in (options.install_command, options.build_command)
    )
    return project.at(
        replace(options, root_directory=ancestor or None, install_command=install, build_command=build)
    )


def _plan_package(project: Project, folder: str) -> BuildPlan | None:
    """Plan the package in a folder of a workspace; without a folder, plan the project's programs."""
    programs = _programs(project)
    if folder:
        programs = [program for program in programs if program.manifest == f"{folder}/{MANIFEST}"]
    configured = configured_command(project)
    reasons = [f"`{MANIFEST}` makes it a Rust project."]
    if folder:
        reasons.append(f"It is part of a workspace, and `{folder}` is built from the root of that.")
    if not programs and not folder and has_other_app(project.files) and not project.is_set_to(RUNTIME.name):
        return None
    if not configured and not project.options.build_command:
        _refuse_other_builders(project, folder)
    if not programs and not project.options.build_command:
        raise undetected(
            f"This is a Rust project ({MANIFEST}), but it has no program, only a library.",
            "Add a src/main.rs, or set the root directory to the folder of the package that serves.",
        )
    if configured:
        command, reason = configured
        built = programs
        reasons.append(reason)
    else:
        program = _chosen_program(_of_default_members(project, programs))
        command, built = f"bin/{program.name}", [program]
        if folder:  # the program expects its files there
            command = f"cd {folder} && {'../' * (folder.count('/') + 1)}{command}"
        reasons.append(f"Its program {program.name} is built and run.")
        if other_programs := [f"bin/{rest.name}" for rest in programs if rest != program]:
            reasons.append(f"To have another one, set the start command: {', '.join(other_programs[:10])}.")
    choice = project.options.toolchains.choose("rust", _requested_version(project))
    reasons.append(choice.reason)
    embedded = _embedded_frontends(project, built)
    before, copies = build_stages(embedded)
    steps = [
        "ENV CARGO_HOME=/cache/cargo CARGO_TARGET_DIR=/cache/target CARGO_TERM_COLOR=never",
        COPY_ALL,
        *copies,
        *_build(project, built),
    ]
    environment = _environment(project, programs)
    text = two_stages(project, choice, steps, command, environment=environment, before=before)
    return plan_of(
        project,
        RUNTIME.name,
        [*reasons, *(frontend.reason for frontend in embedded)],
        text,
        ignore=("target", *(IGNORED if embedded else ())),
        copies=paths_to_send(embedded),
    )


def _embedded_frontends(project: Project, programs: list[Program]) -> list[EmbeddedFrontend]:
    """Return the frontends that build the embedded folders which the repository lacks.

    A package's build script may make a folder, too.
    """
    members = _members(project, toml(project, MANIFEST))
    packages = {program.manifest.removesuffix(MANIFEST) for program in programs}
    sources = tuple(f"{package}src/" for package in packages if not project.has(f"{package}build.rs"))
    embedded = []
    for folder in embedded_folders(project, dict.fromkeys((MANIFEST, *members))):
        path = folder.path_from_root
        is_there = any(file.startswith(f"{path}/") for file in project.files)
        must_be_built = folder.source.startswith(sources) and not is_there
        description = f"the folder `{folder.written_path}`"
        embedded.append(EmbeddedPath(path, folder.source, description, must_be_built))
    return embedded_frontends(project, embedded)


def _refuse_other_builders(project: Project, folder: str) -> None:
    """Raise `DeploymentFailed` for an app that another tool than Cargo builds, for browsers or for both sides."""
    prefix = f"{folder}/" if folder else ""
    manifest = toml(project, prefix + MANIFEST)
    is_leptos = any(table(manifest, kind, "metadata").get("leptos") for kind in ("package", "workspace"))
    is_trunk = project.has(f"{prefix}Trunk.toml") or "data-trunk" in (
        project.text(f"{prefix}index.html") or ""
    )
    is_dioxus = project.has(f"{prefix}Dioxus.toml")
    tools = (("cargo-leptos", is_leptos), ("Trunk", is_trunk), ("Dioxus' `dx`", is_dioxus))
    for tool, is_used in tools:
        if is_used:
            raise undetected(
                f"This Rust project is built for browsers by {tool}, which this server does not have.",
                "Add a Dockerfile that installs it and builds, or push what it builds as a repository of its own.",
            )


def _environment(project: Project, programs: list[Program]) -> list[str]:
    """Return the search path, and the variables that make Rocket listen on all addresses instead of loopback."""
    manifests = [toml(project, path) for path in {MANIFEST, *(program.manifest for program in programs)}]
    if not any("rocket" in table(manifest, "dependencies") for manifest in manifests):
        return [PATH_OF_PROGRAMS]
    return [PATH_OF_PROGRAMS, "ROCKET_ADDRESS=0.0.0.0", f"ROCKET_PORT={project.port}"]


def _build(project: Project, programs: list[Program]) -> list[str]:
    install = [run(project.options.install_command, "rust")] if project.options.install_command else []
    if project.options.build_command:
        # The owner's command may name Cargo's usual output folder.
        return [*install, "ENV CARGO_TARGET_DIR=/app/target", run(project.options.build_command, "rust")]
    locked = " --locked" if project.has(LOCK) else ""
    # Named by manifest: a package may have the same name as one that it depends on.
    builds = [
        f"cargo build --release{locked} --manifest-path {manifest}"
        + "".join(f" --bin {program.name}" for program in programs if program.manifest == manifest)
        for manifest in dict.fromkeys(program.manifest for program in programs)
    ]
    outcomes = [
        f"cp /cache/target/release/{program.name} bin/ && ln -s ../../bin/{program.name} target/release/{program.name}"
        for program in programs
    ]
    # Cargo detects changes by a file's time, and a commit's files are as old as the commit: without the first command,
    # Cargo could reuse the output of an earlier build.
    steps = ("find . -type f -exec touch {} +", *builds, "mkdir -p bin target/release", *outcomes)
    return [*install, run(" && ".join(steps), "rust")]


def _programs(project: Project) -> list[Program]:
    root = toml(project, MANIFEST)
    programs: dict[str, Program] = {}
    for path in (MANIFEST, *_members(project, root)):
        for program in _programs_of(project, path, toml(project, path)):
            programs.setdefault(program.name, program)
    return list(programs.values())


def _of_default_members(project: Project, programs: list[Program]) -> list[Program]:
    """Return the programs that Cargo builds by default (`default-members`); all if the workspace names none."""
    defaults = _members(project, toml(project, MANIFEST), "default-members")
    return [program for program in programs if program.manifest in defaults] or programs


def _members(project: Project, root: Table, key: str = "members") -> list[str]:
    """Return the manifests of a workspace's members, which are given as folders and patterns of folders."""
    patterns = [member.removeprefix("./").strip("/") for member in texts_at(root, "workspace", key)]
    excluded = {member.strip("/") for member in texts_at(root, "workspace", "exclude")}
    members = []
    for path in _manifests(project.files):
        folder = path.removesuffix(f"/{MANIFEST}")
        if folder not in excluded and any(
            names_folder(pattern, folder) for pattern in patterns[:_MOST_PACKAGES]
        ):
            members.append(path)
    return members


def _programs_of(project: Project, path: str, manifest: Table) -> Iterable[Program]:
    folder = path.removesuffix(MANIFEST)
    package = text_at(manifest, "package", "name")
    if not package or not is_plain(path):
        return
    default = text_at(manifest, "package", "default-run")
    declared = manifest.get("bin")
    entries = [entry for entry in declared if isinstance(entry, dict)] if isinstance(declared, list) else []
    names = dict.fromkeys(name for entry in entries if (name := text_at(entry, "name")))
    if table(manifest, "package").get("autobins", True) is not False:
        declared_paths = {str(entry.get("path")) for entry in entries}
        if project.has(f"{folder}src/main.rs") and "src/main.rs" not in declared_paths:
            names[package] = None
        for file in sorted(project.files):
            inner = file.removeprefix(folder) if file.startswith(folder) else ""
            if inner not in declared_paths and (program := _PROGRAM.fullmatch(inner)):
                names[program[1]] = None
    for name in names:
        if is_plain(name) and "/" not in name:
            yield Program(name, package, path, name == default)


def _chosen_program(programs: list[Program]) -> Program:
    if len(programs) == 1:
        return programs[0]
    defaults = [program for program in programs if program.is_default]
    if len(defaults) == 1:
        return defaults[0]
    by_name = {program.name: program for program in programs}
    for name in _PREFERRED:
        if name in by_name:
            return by_name[name]
    named_so = [program for program in programs if program.name == program.package]
    if len(named_so) == 1:
        return named_so[0]
    names = ", ".join(f"bin/{program.name}" for program in programs[:10])
    raise undetected(
        f"This Rust project has {len(programs)} programs, and nothing says which one serves.",
        f"Set `default-run` in {MANIFEST}, or set the app's start command to one of them: {names}.",
    )


def _requested_version(project: Project) -> VersionRequest | None:
    """Return the version that a toolchain file pins, else the lowest version that the packages need."""
    for path in TOOLCHAIN_FILES:
        text = project.text(path) or ""
        channel = text_at(toml(project, path), "toolchain", "channel") if "[" in text else text.strip()
        if channel:
            requirement = parse_requirement(channel.split("-x86")[0].split("-aarch")[0])
            # `nightly` and `beta` have no version number.
            return VersionRequest(requirement or Requirement(channel, ()), f"`{path}`")
    if pinned := version_in_tool_files(project.text, "rust", Dialect.NPM):
        return pinned
    root = toml(project, MANIFEST)
    least = (
        text_at(root, "package", "rust-version")
        or text_at(root, "workspace", "package", "rust-version")
        or _OF_EDITION.get(text_at(root, "package", "edition") or "")
        or _OF_EDITION.get(text_at(root, "workspace", "package", "edition") or "")
    )
    return VersionRequest.read(f">={least}", MANIFEST) if least else None


RUNTIME = Runtime(name="rust", looked_for=f"Rust ({MANIFEST})", needs=_needs, plan=_plan)
