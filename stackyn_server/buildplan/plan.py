"""From a commit's file list to its build plan: settings, the first runtime that fits, additions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.additions import FILES as FILES_OF_ADDITIONS
from stackyn_server.buildplan.generated.additions import pinning, with_additions
from stackyn_server.buildplan.generated.instructions import COPY_ALL
from stackyn_server.buildplan.languages import (
    BUILT,
    language_of_sources,
    manifest_of_language,
    misnamed,
    projects_below,
)
from stackyn_server.buildplan.local_dependencies import refuse_outside
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, prefix_of, undetected
from stackyn_server.buildplan.runtimes import compose
from stackyn_server.buildplan.runtimes.dockerfile import runtime as dockerfile
from stackyn_server.buildplan.runtimes.dockerfile.prebuilt import why_left_aside
from stackyn_server.buildplan.runtimes.dockerfile.repeatable import is_repeatable
from stackyn_server.buildplan.runtimes.table import OTHER_NAMES, RUNTIMES
from stackyn_server.buildplan.settings.repository import Settled, files_of_settings, settle, start_of_image
from stackyn_server.buildplan.versions.other_hosts import with_versions_of_hosts
from stackyn_server.buildplan.versions.requirement import Asked, parse_requirement
from stackyn_server.buildplan.versions.unread_files import about_unread_versions
from stackyn_server.domain.failures import DeploymentFailed, FailureCode

__all__ = ["RUNTIMES", "BuildPlan", "PlanOptions", "files_needed", "make_plan"]

NAMES_SHOWN = 20
_WORDS = frozenset(("app", "build", "folder", "main", "project", "script", "server", "site", "start"))
_OTHER_DOCKERFILE = re.compile(
    r"(?:[^./][^/]*/){0,3}(?:(?:Dockerfile|Containerfile)\.[\w-]+|[\w-]+\.[Dd]ockerfile)|(?:[^./][^/]*/){1,3}Dockerfile"
)


def files_needed(paths: Iterable[str], options: PlanOptions) -> tuple[str, ...]:
    """Return which of a commit's `paths` (from its top) `make_plan` will probably read, to have them at once."""
    paths = frozenset(paths)
    prefix = prefix_of(options)
    files = _below(prefix, paths)
    wanted = {prefix + path for runtime in RUNTIMES for path in runtime.needs(files, options)}
    wanted.update(prefix + path for path in FILES_OF_ADDITIONS)
    return tuple(sorted(wanted.union(files_of_settings(options)) & paths))


def make_plan(paths: Iterable[str], contents: Mapping[str, bytes], options: PlanOptions) -> BuildPlan:
    """Decide how a commit is built. `paths` are all of its files from its top, `contents` holds or fetches them.

    Raises `DeploymentFailed` with NOTHING_DETECTED, DOCKERFILE_INVALID, VERSION_UNAVAILABLE or SOURCE_TOO_LARGE.
    Whatever it reads is a tenant's: the server calls it in a child process (`source.reader`), never in its own.
    """
    everything = frozenset(path for path in paths if path.isprintable())
    settled, project = _settled(everything, contents, options)
    try:
        runtime, plan = _first_plan(project)
        refuse_outside(project, plan)
    except DeploymentFailed as failed:
        raise _with_advice(failed, project, options) from None
    plan = with_additions(project, plan)
    root = project.options.root_directory or "" if plan.root is None else plan.root
    start, about_start = start_of_image(plan, project.options)
    return replace(
        plan,
        repeatable=plan.repeatable if plan.generated is None else is_repeatable(plan.generated),
        reasons=(
            *settled.reasons,
            *plan.reasons,
            *about_unread_versions(project, plan.runtime),
            *about_start,
            *_about_files(project),
        ),
        root=None if root == (options.root_directory or "") else root,
        copies=_sent(project, runtime, plan),
        deploying=replace(settled.deploying, start_command=start),
    )


def _settled(
    everything: frozenset[str], contents: Mapping[str, bytes], options: PlanOptions
) -> tuple[Settled, Project]:
    settled = settle(everything, contents, options)
    options = settled.options
    if named := (options.runtime or "").lower():
        options = replace(options, runtime=OTHER_NAMES.get(named, named))
    files = _below(prefix_of(options), everything)
    if not everything:
        raise undetected("The repository has no files.", "Commit the files of the app, then push again.")
    if not files:
        raise undetected(
            f"The root directory {options.root_directory} does not exist in the repository.",
            f"Change the app's root directory. {_listing(everything)}",
        )
    project = Project(files, contents, options, everything)
    for versions in (with_versions_of_hosts, pinning):
        options = replace(project.options, toolchains=versions(project))
        project = replace(project, options=options)
    return settled, project


def _first_plan(project: Project) -> tuple[Runtime, BuildPlan]:
    asked = _asked_version(project.options)
    for runtime in _rows(project.options):
        if runtime is dockerfile.RUNTIME and why_left_aside(project):
            continue
        if plan := runtime.plan(_pinned(project, runtime, asked)):
            return runtime, plan
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
    """Return the rows to try: all, or the one that the owner names. One that another host names is tried first."""
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
    if not options.is_own("runtime"):
        return (*named, *(row for row in rows if row not in named))
    return named


def _asked_version(options: PlanOptions) -> Asked | None:
    """Return the version that the owner sets."""
    if not options.runtime_version:
        return None
    requirement = parse_requirement(options.runtime_version)
    if requirement is None:
        raise undetected(
            f"The runtime version {options.runtime_version} can't be used.",
            "Give a version such as 3.12 or >=20.",
        )
    origin = options.said_by.get("runtime_version")
    return Asked(requirement, f"`{origin}`" if origin else "the app's setting")


def _pinned(project: Project, runtime: Runtime, asked: Asked | None) -> Project:
    """Have the owner's version win over what the project's files ask for, whichever runtime it is."""
    if asked is None:
        return project
    toolchains = project.options.toolchains.pinning(runtime.name, asked)
    return replace(project, options=replace(project.options, toolchains=toolchains))


def _nothing_detected(project: Project) -> Exception:
    """Say which language there is, which folders would do, what was looked for and what there is."""
    looked_for = "; ".join(row.looked_for for row in _rows(project.options))
    manifest = manifest_of_language(project.files)
    language = manifest[1] if manifest else language_of_sources(project.files)
    if project.options.use_dockerfile:
        message = "A Dockerfile is asked for (use_dockerfile), and there is none."
    elif project.options.is_own("runtime"):
        message = f"The runtime is set to {project.options.runtime}, and nothing here fits it."
    elif manifest:
        lacks = (
            "but it has no program that can be started"
            if manifest[1] in BUILT
            else "which nothing here builds by itself"
        )
        message = f"This is a project in {language} (`{manifest[0]}`), {lacks}."
    elif language:
        message = f"The files are mostly {language}, and nothing says how to build and start them."
    else:
        message = compose.only_images(project) or _about_pages(project)
    others = [path for path in sorted(project.files) if _OTHER_DOCKERFILE.fullmatch(path)][:NAMES_SHOWN]
    named = f"Set the app's Dockerfile path to build {' or '.join(others)}. " if others else ""
    return undetected(
        message,
        f"{named}Add a Dockerfile, or set the root directory if the app is in a folder. "
        f"Looked for: {looked_for}. {_listing(project.files)}",
    )


def _about_pages(project: Project) -> str:
    pages = sorted(path for path in project.files if "/" not in path and path.endswith(".html"))
    if pages:
        return f"There are pages ({', '.join(pages[:5])}), and none is called index.html, the one that is shown first."
    return "Nothing in the repository says how to build it."


def _with_advice(failed: DeploymentFailed, project: Project, asked: PlanOptions) -> DeploymentFailed:
    """Say which files have a wrong name, and which folders would do where the root directory doesn't, unless that has
    been said."""
    failure = failed.failure
    if failure.code is not FailureCode.NOTHING_DETECTED:
        return failed
    hint = failure.hint
    said = hint.partition("Looked for:")[0]
    folders = [project.prefix + folder for folder in projects_below(project.files)]
    unsaid = [folder for folder in folders if not _is_named(folder, said)]
    good = [folder for folder in unsaid if _would_do(project, replace(asked, root_directory=folder))]
    if good:
        hint = f"Set the root directory to {', '.join(good)}, if the app is there. {hint}"
    elif unsaid == folders and folders:
        hint = f"{hint} These folders look like projects: {', '.join(folders)}."
    return DeploymentFailed(replace(failure, hint=" ".join((*_about_files(project), hint))))


def _is_named(folder: str, said: str) -> bool:
    """True where a sentence names a folder. One that is a word of most sentences, as `app`, has to stand in a list."""
    name = re.escape(folder)
    if folder in _WORDS:
        return re.search(rf"(?:[:,] |\(|\bto )`?{name}`?(?=[,;.)]|$)", said) is not None
    return re.search(rf"(?<![\w/]){name}(?![\w/])", said) is not None


def _about_files(project: Project) -> list[str]:
    """Say which files are not used, though they look as if they would be."""
    unread = [
        f"`{name}` is not read: it has to be called `{right}`." for name, right in misnamed(project.files)
    ]
    return [*filter(None, [why_left_aside(project)]), *unread]


def _would_do(project: Project, options: PlanOptions) -> bool:
    try:
        below = _settled(project.everything, project.contents, options)[1]
        refuse_outside(below, _first_plan(below)[1])
    except DeploymentFailed as failed:
        return failed.failure.code not in (FailureCode.NOTHING_DETECTED, FailureCode.DOCKERFILE_INVALID)
    return True


def _below(prefix: str, paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path.removeprefix(prefix) for path in paths if path.startswith(prefix))


def _listing(paths: Iterable[str]) -> str:
    names = sorted({name + "/" * bool(rest) for name, _, rest in (path.partition("/") for path in paths)})
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"There is: {', '.join(names[:NAMES_SHOWN])}{more}."
