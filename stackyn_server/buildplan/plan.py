"""From a commit's file list to its build plan: settings, the first runtime that fits, additions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.additions import FILES as FILES_OF_ADDITIONS
from stackyn_server.buildplan.generated.additions import with_additions, with_pinned
from stackyn_server.buildplan.generated.instructions import COPY_ALL
from stackyn_server.buildplan.languages import (
    BUILT,
    language_of_sources,
    manifest_of_language,
    misnamed,
    projects_below,
)
from stackyn_server.buildplan.local_dependencies import refuse_paths_outside
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, paths_below, prefix_of, undetected
from stackyn_server.buildplan.runtimes import compose
from stackyn_server.buildplan.runtimes.dockerfile import runtime as dockerfile
from stackyn_server.buildplan.runtimes.dockerfile.prebuilt import reason_to_skip
from stackyn_server.buildplan.runtimes.dockerfile.repeatable import is_repeatable
from stackyn_server.buildplan.runtimes.table import OTHER_NAMES, RUNTIMES
from stackyn_server.buildplan.settings.repository import (
    EffectiveSettings,
    effective_settings,
    image_start_command,
    settings_files,
)
from stackyn_server.buildplan.versions.other_host_versions import with_versions_of_hosts
from stackyn_server.buildplan.versions.requirement import VersionRequest, parse_requirement
from stackyn_server.buildplan.versions.unread_files import unread_version_sentences
from stackyn_server.domain.failures import DeploymentFailed, FailureCode

NAMES_SHOWN = 20
_WORDS = frozenset(("app", "build", "folder", "main", "project", "script", "server", "site", "start"))
_OTHER_DOCKERFILE = re.compile(
    r"(?:[^./][^/]*/){0,3}(?:(?:Dockerfile|Containerfile)\.[\w-]+|[\w-]+\.[Dd]ockerfile)|(?:[^./][^/]*/){1,3}Dockerfile"
)


def files_needed(paths: Iterable[str], options: PlanOptions) -> tuple[str, ...]:
    """Return which of a commit's `paths` (from its top) `make_plan` will probably read, to have them at once."""
    paths = frozenset(paths)
    prefix = prefix_of(options)
    files = paths_below(prefix, paths)
    needed = {prefix + path for runtime in RUNTIMES for path in runtime.needs(files, options)}
    needed.update(prefix + path for path in FILES_OF_ADDITIONS)
    return tuple(sorted(needed.union(settings_files(options)) & paths))


def make_plan(paths: Iterable[str], contents: Mapping[str, bytes], options: PlanOptions) -> BuildPlan:
    """Decide how a commit is built. `paths` are all of its files from its top, `contents` holds or fetches them.

    Raises `DeploymentFailed` with NOTHING_DETECTED, DOCKERFILE_INVALID, VERSION_UNAVAILABLE or SOURCE_TOO_LARGE.
    Whatever it reads is a tenant's: the server calls it in a child process (`source.reader`), never in its own.
    """
    everything = frozenset(path for path in paths if path.isprintable())
    settings, project = _with_settings(everything, contents, options)
    try:
        runtime, plan = _first_plan(project)
        refuse_paths_outside(project, plan)
    except DeploymentFailed as failed:
        raise _with_advice(failed, project, options) from None
    plan = with_additions(project, plan)
    root = project.options.root_directory or "" if plan.root is None else plan.root
    start, start_sentences = image_start_command(plan, project.options)
    return replace(
        plan,
        repeatable=plan.repeatable if plan.generated is None else is_repeatable(plan.generated),
        reasons=(
            *settings.reasons,
            *plan.reasons,
            *unread_version_sentences(project, plan.runtime),
            *start_sentences,
            *_ignored_file_sentences(project),
        ),
        root=None if root == (options.root_directory or "") else root,
        copies=_paths_to_send(project, runtime, plan),
        deploying=replace(settings.deploying, start_command=start),
    )


def _with_settings(
    everything: frozenset[str], contents: Mapping[str, bytes], options: PlanOptions
) -> tuple[EffectiveSettings, Project]:
    settings = effective_settings(everything, contents, options)
    options = settings.options
    if runtime := (options.runtime or "").lower():
        options = replace(options, runtime=OTHER_NAMES.get(runtime, runtime))
    project = Project(frozenset(), contents, options, everything).at(options)
    if not everything:
        raise undetected("The repository has no files.", "Commit the files of the app, then push again.")
    if not project.files:
        raise undetected(
            f"The root directory {options.root_directory} does not exist in the repository.",
            f"Change the app's root directory. {_top_level_names(everything)}",
        )
    for versions in (with_versions_of_hosts, with_pinned):
        options = replace(project.options, toolchains=versions(project))
        project = replace(project, options=options)
    return settings, project


def _first_plan(project: Project) -> tuple[Runtime, BuildPlan]:
    requested = _requested_version(project.options)
    for runtime in _runtimes_to_try(project.options):
        if runtime is dockerfile.RUNTIME and reason_to_skip(project):
            continue
        if plan := runtime.plan(_pinned(project, runtime, requested)):
            return runtime, plan
    raise _nothing_detected(project)


def _paths_to_send(project: Project, runtime: Runtime, plan: BuildPlan) -> tuple[str, ...]:
    """Return the files that the Dockerfile names or that the plan was made from: the repository's `.dockerignore`,
    written for another Dockerfile, may exclude them."""
    if plan.generated is None or COPY_ALL not in plan.generated:
        return plan.copies
    context_prefix = project.prefix if plan.root is None else f"{plan.root}/" if plan.root else ""
    copied = set(plan.copies)
    for folder in {project.prefix, context_prefix}:
        files = paths_below(folder, project.everything)
        paths = [folder + path for path in runtime.needs(files, project.options) if path in files]
        copied |= {path.removeprefix(context_prefix) for path in paths if path.startswith(context_prefix)}
    return tuple(sorted(copied))


def _runtimes_to_try(options: PlanOptions) -> tuple[Runtime, ...]:
    """Return the rows to try: all, or the one that the owner names. One that another host names is tried first."""
    rows = tuple(
        row for row in RUNTIMES if row is not dockerfile.RUNTIME or options.use_dockerfile is not False
    )
    if options.use_dockerfile:
        return (dockerfile.RUNTIME,)
    if not options.runtime:
        return rows
    chosen = tuple(row for row in rows if row.name == options.runtime)
    if not chosen:
        raise undetected(
            f"There is no runtime {options.runtime}.",
            f"Known are: {', '.join(row.name for row in RUNTIMES)}.",
        )
    if not options.is_set_by_owner("runtime"):
        return (*chosen, *(row for row in rows if row not in chosen))
    return chosen


def _requested_version(options: PlanOptions) -> VersionRequest | None:
    """Return the version that the owner sets."""
    if not options.runtime_version:
        return None
    requirement = parse_requirement(options.runtime_version)
    if requirement is None:
        raise undetected(
            f"The runtime version {options.runtime_version} can't be used.",
            "Give a version such as 3.12 or >=20.",
        )
    origin = options.origins.get("runtime_version")
    return VersionRequest(requirement, f"`{origin}`" if origin else "the app's setting")


def _pinned(project: Project, runtime: Runtime, requested: VersionRequest | None) -> Project:
    """Let the owner's version win over the project's files, for every runtime."""
    if requested is None:
        return project
    toolchains = project.options.toolchains.with_pinned(runtime.name, requested)
    return replace(project, options=replace(project.options, toolchains=toolchains))


def _nothing_detected(project: Project) -> Exception:
    """Name the language, the usable folders, the files that were looked for and the files that exist."""
    looked_for = "; ".join(row.looked_for for row in _runtimes_to_try(project.options))
    manifest = manifest_of_language(project.files)
    language = manifest[1] if manifest else language_of_sources(project.files)
    if project.options.use_dockerfile:
        message = "A Dockerfile is asked for (use_dockerfile), and there is none."
    elif project.options.is_set_by_owner("runtime"):
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
        message = compose.only_images(project) or _misnamed_page_sentence(project)
    dockerfiles = [path for path in sorted(project.files) if _OTHER_DOCKERFILE.fullmatch(path)][:NAMES_SHOWN]
    dockerfile_advice = (
        f"Set the app's Dockerfile path to build {' or '.join(dockerfiles)}. " if dockerfiles else ""
    )
    return undetected(
        message,
        f"{dockerfile_advice}Add a Dockerfile, or set the root directory if the app is in a folder. "
        f"Looked for: {looked_for}. {_top_level_names(project.files)}",
    )


def _misnamed_page_sentence(project: Project) -> str:
    pages = sorted(path for path in project.files if "/" not in path and path.endswith(".html"))
    if pages:
        return f"There are pages ({', '.join(pages[:5])}), and none is called index.html, the one that is shown first."
    return "Nothing in the repository says how to build it."


def _with_advice(failed: DeploymentFailed, project: Project, options: PlanOptions) -> DeploymentFailed:
    """Name the misspelled files, and the folders that can be planned, unless the hint names them already."""
    failure = failed.failure
    if failure.code is not FailureCode.NOTHING_DETECTED:
        return failed
    hint = failure.hint
    advice = hint.partition("Looked for:")[0]
    folders = [project.prefix + folder for folder in projects_below(project.files)]
    unnamed = [folder for folder in folders if not _is_named(folder, advice)]
    plannable = [
        folder for folder in unnamed if _can_be_planned(project, replace(options, root_directory=folder))
    ]
    if plannable:
        hint = f"Set the root directory to {', '.join(plannable)}, if the app is there. {hint}"
    elif unnamed == folders and folders:
        hint = f"{hint} These folders look like projects: {', '.join(folders)}."
    return DeploymentFailed(replace(failure, hint=" ".join((*_ignored_file_sentences(project), hint))))


def _is_named(folder: str, advice: str) -> bool:
    """True where a sentence names a folder. One that is a word of most sentences, as `app`, has to stand in a list."""
    name = re.escape(folder)
    if folder in _WORDS:
        return re.search(rf"(?:[:,] |\(|\bto )`?{name}`?(?=[,;.)]|$)", advice) is not None
    return re.search(rf"(?<![\w/]){name}(?![\w/])", advice) is not None


def _ignored_file_sentences(project: Project) -> list[str]:
    """Name the files that look relevant and are not used."""
    unread = [
        f"`{name}` is not read: it has to be called `{right}`." for name, right in misnamed(project.files)
    ]
    return [*filter(None, [reason_to_skip(project)]), *unread]


def _can_be_planned(project: Project, options: PlanOptions) -> bool:
    try:
        folder_project = _with_settings(project.everything, project.contents, options)[1]
        refuse_paths_outside(folder_project, _first_plan(folder_project)[1])
    except DeploymentFailed as failed:
        return failed.failure.code not in (FailureCode.NOTHING_DETECTED, FailureCode.DOCKERFILE_INVALID)
    return True


def _top_level_names(paths: Iterable[str]) -> str:
    names = sorted({name + "/" * bool(rest) for name, _, rest in (path.partition("/") for path in paths)})
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"There is: {', '.join(names[:NAMES_SHOWN])}{more}."
