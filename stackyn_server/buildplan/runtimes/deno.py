"""Deno: a task of deno.json, or the file that serves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.formats.structured_files import Table, json_with_comments, table
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import one_stage, plan_of
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_file, version_in_tool_files

CONFIGURATIONS = ("deno.json", "deno.jsonc")
LOCK = "deno.lock"
VERSION_FILES = (".deno-version", ".dvmrc")
_TASKS = ("start", "serve", "preview")
IGNORED = ("node_modules", ".deno")
ENTRIES = tuple(
    f"{folder}{name}{suffix}"
    for folder in ("", "src/")
    for name in ("main", "server", "mod", "index", "app")
    for suffix in (".ts", ".tsx", ".js", ".jsx", ".mjs")
)
_SERVES_ITSELF = re.compile(r"^export\s+default\s+(?:\{|app\b|server\b|router\b)", re.MULTILINE)
_DENO_SOURCE = re.compile(r"\bDeno\.\w|from\s+['\"](?:jsr:|npm:|https://deno\.land/|https://jsr\.io/)")


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    entries = [path for path in ENTRIES if path in files]
    if not entries and files.isdisjoint((*CONFIGURATIONS, LOCK)):
        return ()
    return (*CONFIGURATIONS, *VERSION_FILES, *TOOL_FILES, PROCFILE, "package.json", *entries)


def _plan(project: Project) -> BuildPlan | None:
    path = project.first((*CONFIGURATIONS, LOCK))
    entry = project.first(ENTRIES)
    is_named = project.is_set_to(RUNTIME.name)
    if project.has("package.json") and not is_named and not _is_started_by_deno(project):
        return None
    is_source = entry is not None and (is_named or _DENO_SOURCE.search(project.text(entry) or ""))
    if path is None and not is_source:
        return None
    document = next((json_with_comments(project, name) for name in CONFIGURATIONS if project.has(name)), {})
    tasks = table(document, "tasks")
    is_started = configured_command(project) or entry or any(_has_task(tasks, name) for name in _TASKS)
    if not is_started and project.has("package.json") and not is_named:
        return None
    choice = project.options.toolchains.choose("deno", _requested_version(project))
    reasons = [f"`{path or entry}` makes it a Deno project.", choice.reason]
    command = _start(project, tasks, entry, reasons)
    install = project.options.install_command or (f"deno cache {entry}" if entry else "deno install")
    lines = [COPY_ALL, run(install)]
    if build := project.options.build_command:
        reasons.append("The build command is run.")
        lines.append(run(build))
    elif _has_task(tasks, "build"):
        reasons.append("Its `build` task is run.")
        lines.append(run("deno task build"))
    # The image has the packages, so a start needs no network.
    environment = ("DENO_DIR=/app/.deno DENO_NO_UPDATE_CHECK=1 NO_COLOR=1",)
    command = f"export DENO_SERVE_ADDRESS=tcp:0.0.0.0:$PORT; {command}"
    text = one_stage(project, choice.image.name, lines, command, environment)
    return plan_of(project, RUNTIME.name, reasons, text, ignore=IGNORED)


def _is_started_by_deno(project: Project) -> bool:
    """True for a package.json beside Deno's own files that has nothing which Node would start."""
    scripts = table(json_with_comments(project, "package.json"), "scripts")
    start = scripts.get("start")
    return not project.first(("package-lock.json", "yarn.lock", "pnpm-lock.yaml")) and (
        start is None or (isinstance(start, str) and start.startswith("deno "))
    )


def _start(project: Project, tasks: Table, entry: str | None, reasons: list[str]) -> str:
    if configured := configured_command(project):
        reasons.append(configured[1])
        return configured[0]
    for name in _TASKS:
        if _has_task(tasks, name):
            reasons.append(f"Its `{name}` task starts the app.")
            return f"deno task {name}"
    if entry is None:
        raise undetected(
            "This is a Deno project, but nothing says how to start it.",
            "Add a `start` task to deno.json, name the main file main.ts, or set the app's start command.",
        )
    if _SERVES_ITSELF.search(project.text(entry) or ""):
        reasons.append(f"`{entry}` exports a server; `deno serve` runs it.")
        return f"deno serve --allow-all --host 0.0.0.0 --port $PORT {entry}"
    reasons.append(f"`{entry}` is run.")
    return f"deno run --allow-all {entry}"


def _has_task(tasks: Table, name: str) -> bool:
    task: Any = tasks.get(name)
    return isinstance(task, str) or (isinstance(task, dict) and isinstance(task.get("command"), str))


def _requested_version(project: Project) -> VersionRequest | None:
    for path in VERSION_FILES:
        if requested := version_in_file(project.text(path), path, Dialect.NPM):
            return requested
    return version_in_tool_files(project.text, "deno", Dialect.NPM)


RUNTIME = Runtime(name="deno", looked_for="Deno (deno.json, deno.lock)", needs=_needs, plan=_plan)
