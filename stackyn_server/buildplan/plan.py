"""From a commit's file list to its build plan: an ordered table of runtimes, the first that fits wins. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stackyn_server.buildplan import dockerfile, node, python, static
from stackyn_server.buildplan.outcome import BuildPlan
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, prefix_of, undetected

__all__ = ["RUNTIMES", "BuildPlan", "PlanOptions", "files_needed", "make_plan"]

RUNTIMES: tuple[Runtime, ...] = (dockerfile.RUNTIME, python.RUNTIME, node.RUNTIME, static.RUNTIME)
NAMES_SHOWN = 20


def files_needed(paths: Iterable[str], options: PlanOptions) -> tuple[str, ...]:
    """Return which of a commit's `paths` (from its top) `make_plan` will probably read, to have them at once."""
    paths = frozenset(paths)
    prefix = prefix_of(options)
    files = _below(prefix, paths)
    wanted = {prefix + path for runtime in RUNTIMES for path in runtime.needs(files, options)}
    return tuple(sorted(wanted & paths))


def make_plan(paths: Iterable[str], contents: Mapping[str, bytes], options: PlanOptions) -> BuildPlan:
    """Decide how a commit is built. `paths` are all of its files from its top, `contents` holds or fetches them.

    Raises `DeploymentFailed` with NOTHING_DETECTED, DOCKERFILE_INVALID or SOURCE_TOO_LARGE. Whatever it reads is a
    tenant's: the server calls it in a child process (`source.reader`), never in its own.
    """
    everything = frozenset(path for path in paths if path.isprintable())
    files = _below(prefix_of(options), everything)
    if not files:
        raise undetected(
            f"The root directory {options.root_directory} does not exist in the repository.",
            f"Change the app's root directory. {_listing(everything)}",
        )
    project = Project(files, contents, options, everything)
    for runtime in RUNTIMES:
        if plan := runtime.plan(project):
            return plan
    looked_for = "; ".join(runtime.looked_for for runtime in RUNTIMES)
    raise undetected(
        "Nothing in the repository says how to build it.",
        f"Add a Dockerfile, or set the root directory if the app is in a folder. Looked for: {looked_for}. "
        f"{_listing(files)}",
    )


def _below(prefix: str, paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path.removeprefix(prefix) for path in paths if path.startswith(prefix))


def _listing(paths: Iterable[str]) -> str:
    names = sorted({name + "/" * bool(rest) for name, _, rest in (path.partition("/") for path in paths)})
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"There is: {', '.join(names[:NAMES_SHOWN])}{more}."
