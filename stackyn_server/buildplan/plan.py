"""From a commit's file list to its build plan: an ordered table of runtimes, the first that fits wins. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from stackyn_server.buildplan import (
    compose,
    cpp,
    deno,
    dockerfile,
    dotnet,
    elixir,
    go,
    java,
    node,
    php,
    python,
    ruby,
    rust,
    shell,
    site_generators,
    static,
)
from stackyn_server.buildplan.generated import COPY_ALL
from stackyn_server.buildplan.languages import is_manifest, language_of_sources, manifest_of_language
from stackyn_server.buildplan.outcome import BuildPlan
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, prefix_of, undetected
from stackyn_server.buildplan.repeatable import is_repeatable
from stackyn_server.buildplan.repository_settings import files_of_settings, settle, start_of_image
from stackyn_server.buildplan.versions import Asked, parse_requirement

__all__ = ["RUNTIMES", "BuildPlan", "PlanOptions", "files_needed", "make_plan"]

# What says more plainly how it is built comes first; what is often only a helper beside another language comes later.
RUNTIMES: tuple[Runtime, ...] = (
    dockerfile.RUNTIME,
    compose.RUNTIME,
    site_generators.RUNTIME,
    deno.RUNTIME,
    go.RUNTIME,
    rust.RUNTIME,
    java.RUNTIME,
    php.RUNTIME,
    ruby.RUNTIME,
    dotnet.RUNTIME,
    elixir.RUNTIME,
    python.RUNTIME,
    node.RUNTIME,
    cpp.RUNTIME,
    shell.RUNTIME,
    static.RUNTIME,
)
NAMES_SHOWN = 20
_FOLDERS_SHOWN = 8
_DEEPEST_FOLDER = 3


def files_needed(paths: Iterable[str], options: PlanOptions) -> tuple[str, ...]:
    """Return which of a commit's `paths` (from its top) `make_plan` will probably read, to have them at once."""
    paths = frozenset(paths)
    prefix = prefix_of(options)
    files = _below(prefix, paths)
    wanted = {prefix + path for runtime in RUNTIMES for path in runtime.needs(files, options)}
    return tuple(sorted(wanted.union(files_of_settings(options)) & paths))


def make_plan(paths: Iterable[str], contents: Mapping[str, bytes], options: PlanOptions) -> BuildPlan:
    """Decide how a commit is built. `paths` are all of its files from its top, `contents` holds or fetches them.

    Raises `DeploymentFailed` with NOTHING_DETECTED, DOCKERFILE_INVALID, VERSION_UNAVAILABLE or SOURCE_TOO_LARGE.
    Whatever it reads is a tenant's: the server calls it in a child process (`source.reader`), never in its own.
    """
    everything = frozenset(path for path in paths if path.isprintable())
    settled = settle(everything, contents, options)
    asked, options = options, _pinned(settled.options)
    files = _below(prefix_of(options), everything)
    if not files:
        raise undetected(
            f"The root directory {options.root_directory} does not exist in the repository.",
            f"Change the app's root directory. {_listing(everything)}",
        )
    project = Project(files, contents, options, everything)
    for runtime in _rows(options):
        if plan := runtime.plan(project):
            root = options.root_directory or "" if plan.root is None else plan.root
            generated = plan.generated
            start, about_start = start_of_image(plan, options)
            return replace(
                plan,
                repeatable=plan.repeatable if generated is None else is_repeatable(generated),
                reasons=(*settled.reasons, *plan.reasons, *about_start),
                root=None if root == (asked.root_directory or "") else root,
                copies=_sent(project, runtime, plan),
                deploying=replace(settled.deploying, start_command=start),
            )
    raise _nothing_detected(project)


def _sent(project: Project, runtime: Runtime, plan: BuildPlan) -> tuple[str, ...]:
    """Add to what the Dockerfile names the files that the plan was made from: the repository's `.dockerignore` was
    written for another Dockerfile."""
    if plan.generated is None or COPY_ALL not in plan.generated:
        return plan.copies
    sent = project.prefix if plan.root is None else f"{plan.root}/" if plan.root else ""
    read = set(plan.copies)
    for folder in {project.prefix, sent}:
        files = _below(folder, project.everything)
        paths = [folder + path for path in runtime.needs(files, project.options) if path in files]
        read |= {path.removeprefix(sent) for path in paths if path.startswith(sent)}
    return tuple(sorted(read))


def _rows(options: PlanOptions) -> tuple[Runtime, ...]:
    """Return the rows to try: all, or the one that the owner names."""
    rows = tuple(
        row for row in RUNTIMES if row is not dockerfile.RUNTIME or options.use_dockerfile is not False
    )
    if options.use_dockerfile:
        return (dockerfile.RUNTIME,)
    if not options.runtime:
        return rows
    named = tuple(row for row in rows if row.name == options.runtime)
    if not named:
        raise undetected(
            f"There is no runtime {options.runtime}.",
            f"Known are: {', '.join(row.name for row in RUNTIMES)}.",
        )
    return named


def _pinned(options: PlanOptions) -> PlanOptions:
    """Have the version that the owner sets win over what the project's files ask for."""
    if not options.runtime_version:
        return options
    requirement = parse_requirement(options.runtime_version)
    if not options.runtime or requirement is None:
        raise undetected(
            f"The runtime version {options.runtime_version} can't be used.",
            "Give a version such as 3.12 or >=20, and the runtime that it is of.",
        )
    origin = options.said_by.get("runtime_version")
    asked = Asked(requirement, f"`{origin}`" if origin else "The app's setting")
    return replace(options, toolchains=options.toolchains.pinning(options.runtime, asked))


def _nothing_detected(project: Project) -> Exception:
    """Say which language there is, which folders would do, what was looked for and what there is."""
    looked_for = "; ".join(row.looked_for for row in _rows(project.options))
    manifest = manifest_of_language(project.files)
    language = manifest[1] if manifest else language_of_sources(project.files)
    if project.options.runtime:
        message = f"The runtime is set to {project.options.runtime}, and nothing here fits it."
    elif manifest:
        message = f"This is a project in {language} (`{manifest[0]}`), which nothing here builds by itself."
    elif language:
        message = f"The files are mostly {language}, and nothing says how to build and start them."
    else:
        message = compose.only_images(project) or "Nothing in the repository says how to build it."
    folders = _projects_below(project.files)
    would_do = f"Set the root directory to one of these: {', '.join(folders)}. " if folders else ""
    root = "" if folders else ", or set the root directory if the app is in a folder"
    return undetected(
        message, f"{would_do}Add a Dockerfile{root}. Looked for: {looked_for}. {_listing(project.files)}"
    )


def _projects_below(files: Iterable[str]) -> list[str]:
    """Return the folders that look like a project of their own, those nearest to the root first."""
    found = set()
    for path in files:
        folder, _, name = path.rpartition("/")
        is_project = is_manifest(name) or name.lower() in ("dockerfile", "index.html", "index.php")
        if folder and is_project and folder.count("/") < _DEEPEST_FOLDER and "node_modules" not in folder:
            found.add(folder)
    outermost = [folder for folder in found if found.isdisjoint(_parents(folder))]
    return sorted(outermost, key=lambda folder: (folder.count("/"), folder))[:_FOLDERS_SHOWN]


def _parents(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _below(prefix: str, paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path.removeprefix(prefix) for path in paths if path.startswith(prefix))


def _listing(paths: Iterable[str]) -> str:
    names = sorted({name + "/" * bool(rest) for name, _, rest in (path.partition("/") for path in paths)})
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"There is: {', '.join(names[:NAMES_SHOWN])}{more}."
