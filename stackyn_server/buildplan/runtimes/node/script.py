"""A Node server in one script without a manifest, which runs as it is if it needs no packages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import one_stage, plan_of
from stackyn_server.buildplan.project import Project, undetected
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST, VERSION_FILES, node_version_in_files
from stackyn_server.buildplan.settings.start_command import configured_command

SCRIPTS = tuple(
    f"{name}{suffix}" for name in ("server", "app", "index", "main") for suffix in (".js", ".mjs", ".cjs")
)
_PAGE = "index.html"
NEEDS = (*SCRIPTS, _PAGE, *VERSION_FILES)
_RUNTIME = "node"
_LONGEST_SCRIPT = 256_000
_LISTENS = re.compile(r"\.\s*listen\s*\(|\bcreateServer\s*\(")
_IMPORT = re.compile(
    r"(?:\brequire\s*\(\s*|\bimport\s*\(\s*|\bfrom\s*|^[ \t]*import\s+)(['\"])([^'\"\s]{1,200})\1",
    re.MULTILINE,
)
_NAME = re.compile(r"(?:@[\w.-]+/)?[\w.-]+")
_IS_PLACE = re.compile(r"[./]|[a-z]+:")
# Node's own modules; all modules with the scheme `node:` are its own too.
_OWN_MODULES = frozenset((
    "assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram",
    "diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module", "net",
    "os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream", "string_decoder",
    "sys", "timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib",
))  # fmt: skip


def plan_script(project: Project) -> BuildPlan | None:
    """Plan a script that serves, or the script that the owner starts with `node`; None without either.

    Raises `DeploymentFailed` for a script that imports packages, because no manifest names them.
    """
    configured = configured_command(project)
    if configured:
        if configured[0].split()[0] != "node":
            return None
        command, reason = configured
    else:
        script = next((path for path in SCRIPTS if _serves(project, path)), None)
        if script is None:
            return None
        _refuse_packages(project, script)
        command = f"node {shlex.quote(script)}"
        reason = f"`{script}` is a server of Node and needs no packages: it is run."
    choice = project.options.toolchains.choose("node", node_version_in_files(project))
    steps = (project.options.install_command, project.options.build_command)
    lines = ["ENV NODE_ENV=production HOST=0.0.0.0", COPY_ALL, *(run(step) for step in steps if step)]
    text = one_stage(project, choice.image.name, lines, command)
    return plan_of(project, _RUNTIME, (reason, choice.reason), text)


def _serves(project: Project, script: str) -> bool:
    """True for a script that imports a module by its name and listens, and that no page loads."""
    text = project.text(script)
    if text is None or len(text) > _LONGEST_SCRIPT or script in (project.text(_PAGE) or ""):
        return False
    return _LISTENS.search(text) is not None and any(_modules(text))


def _modules(script: str) -> Iterator[str]:
    """Yield the modules that a script imports by name, Node's own included; not files or URLs."""
    names = (match[2] for match in _IMPORT.finditer(script))
    yield from (name for name in names if name.startswith("node:") or not _IS_PLACE.match(name))


def _refuse_packages(project: Project, script: str) -> None:
    if project.options.install_command:
        return
    imported = {
        _package(name) for name in _modules(project.text(script) or "") if not name.startswith("node:")
    }
    packages = sorted(filter(_NAME.fullmatch, imported - _OWN_MODULES))
    missing = [
        name
        for name in packages
        if not any(path.startswith(f"node_modules/{name}/") for path in project.files)
    ]
    if missing:
        raise undetected(
            f"`{script}` is a server of Node that imports {', '.join(missing[:10])}, and there is no {MANIFEST} that "
            "names its packages.",
            f"Run `npm init -y && npm install {' '.join(missing[:10])}`, commit {MANIFEST} and package-lock.json, then "
            "push again.",
        )


def _package(name: str) -> str:
    """Return the package of a module: `express` of `express/lib/router`, `@scope/name` of those with a scope."""
    return "/".join(name.split("/")[: 2 if name.startswith("@") else 1])
