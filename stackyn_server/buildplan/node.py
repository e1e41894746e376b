"""Node: an app that runs, or a site that is built once and served as files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from stackyn_server.buildplan.commands import PROCFILE, as_cmd, given_command
from stackyn_server.buildplan.node_packages import (
    MANIFEST,
    PNPM_LOCK,
    Installation,
    Manifest,
    has_hooks,
    plan_installation,
    read_manifest,
)
from stackyn_server.buildplan.outcome import GENERATED_DOCKERFILE, BuildPlan
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.static import INDEX, site_dockerfile
from stackyn_server.domain.failures import DeploymentFailed

IGNORED = ("**/node_modules",)
_MAIN_FILES = tuple(
    f"{folder}{name}{suffix}"
    for folder in ("", "src/", "dist/", "server/")
    for name in ("server", "index", "app", "main")
    for suffix in (".js", ".mjs", ".cjs")
)
# Where each tool that builds a site of plain files leaves it.
_SITE_TOOLS = {
    "vite": "dist", "react-scripts": "build", "@vue/cli-service": "dist", "astro": "dist", "gatsby": "public",
    "@docusaurus/core": "build", "@11ty/eleventy": "_site", "parcel": "dist", "vitepress": ".vitepress/dist",
    "webpack": "dist", "@angular/cli": "dist",
}  # fmt: skip
# Development servers: a `start` script that only runs one of these does not make an app.
_DEVELOPMENT = re.compile(
    r"^(?:vite(?: dev| serve| preview)?|react-scripts start|vue-cli-service serve|astro (?:dev|preview)|"
    r"gatsby (?:develop|serve)|docusaurus (?:start|serve)|eleventy --serve|parcel(?: serve)?|ng serve|"
    r"webpack(?:-dev-server| serve)|vitepress (?:dev|preview))\b"
)
# Frameworks with a server of their own, for projects without a `start` script.
_FRAMEWORKS = {
    "next": "npx next start --hostname 0.0.0.0 --port $PORT",
    "nuxt": "node .output/server/index.mjs",
    "@sveltejs/adapter-node": "node build",
    "@astrojs/node": "env HOST=0.0.0.0 node dist/server/entry.mjs",
}
_SERVERS = (
    "express",
    "fastify",
    "koa",
    "@hapi/hapi",
    "@nestjs/core",
    "hono",
    "restify",
    "polka",
    "socket.io",
    "ws",
)
_PLAIN_NODE = re.compile(r"node(?: [\w./=@-]+)+")


@dataclass(frozen=True, slots=True)
class Start:
    """What is run; `is_plain` when it needs no development package for that."""

    command: str
    reason: str
    is_plain: bool = False


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    return (MANIFEST, PROCFILE, PNPM_LOCK) if MANIFEST in files else ()


def _plan(project: Project) -> BuildPlan | None:
    manifest = read_manifest(project)
    if manifest is None:
        return None
    installation = plan_installation(project, manifest)
    reasons = [f"`{MANIFEST}` makes it a Node project.", installation.reason]
    has_build = "build" in manifest.scripts
    if has_build:
        reasons.append("Its `build` script is run.")
    start = _start(project, manifest, installation)
    if start is not None:
        reasons.append(start.reason)
        text = _app_dockerfile(project, manifest, installation, start)
    elif has_build and (tool := next((tool for tool in _SITE_TOOLS if manifest.uses(tool)), None)):
        reasons.append(
            f"{tool} builds a site of plain files, and nothing starts a server: the files are served."
        )
        text = _site_dockerfile(project, installation, tool)
    elif project.has(INDEX):
        return None
    else:
        raise undetected(
            f"This is a Node project ({MANIFEST}), but nothing says how to start it.",
            f"Add a `start` script to {MANIFEST}, or set the app's start command.",
        )
    return BuildPlan(
        runtime=RUNTIME.name,
        reasons=tuple(reasons),
        dockerfile=GENERATED_DOCKERFILE,
        generated=text,
        port=project.port,
        ignore=IGNORED,
        copies=installation.files,
    )


def _start(project: Project, manifest: Manifest, installation: Installation) -> Start | None:
    if given := given_command(project):
        return Start(given[0], given[1])
    return _own_start(project, manifest, installation)


def is_app(project: Project) -> bool:
    """True when package.json makes an app or a site, whatever else is in the repository."""
    try:
        manifest = read_manifest(project)
    except DeploymentFailed:
        return False
    if manifest is None:
        return False
    is_site = "build" in manifest.scripts and manifest.uses(*_SITE_TOOLS)
    return is_site or _own_start(project, manifest, plan_installation(project, manifest)) is not None


def _own_start(project: Project, manifest: Manifest, installation: Installation) -> Start | None:
    script = manifest.scripts.get("start", "").strip()
    production = "start:prod" if script == "nest start" and "start:prod" in manifest.scripts else "start"
    serves_itself = manifest.uses(*_SERVERS)
    if script and (serves_itself or not _DEVELOPMENT.match(script)):
        script = manifest.scripts[production].strip()
        reason = f"Its `{production}` script starts the app."
        # Run directly, node gets the signal to stop itself, and npm's own memory is saved.
        if _PLAIN_NODE.fullmatch(script) and f"pre{production}" not in manifest.scripts:
            return Start(script, reason, is_plain=True)
        return Start(f"{installation.run} {production}", reason)
    for package, command in _FRAMEWORKS.items():
        if manifest.uses(package):
            return Start(command, f"{package} serves it.")
    is_site = "build" in manifest.scripts and manifest.uses(*_SITE_TOOLS) and not serves_itself
    main = manifest.main.removeprefix("./")
    if not is_site and (found := project.first((main, f"{main}.js", f"{main}/index.js", *_MAIN_FILES))):
        return Start(
            f"node {shlex.quote(found)}", f"There is no `start` script; `{found}` is run.", is_plain=True
        )
    return None


def _install(installation: Installation, command: str) -> list[str]:
    lines = ["WORKDIR /app"]
    lines += [f"RUN npm install --global --force {installation.tool}"] if installation.tool else []
    lines += [f"ENV {setting}" for setting in installation.environment] + ["USER app", ""]
    copy_all = "COPY --chown=app:app . ."
    if not installation.files:
        return [*lines, copy_all, f"RUN {command}"]
    files = " ".join(installation.files)
    lines += ["# Packages first: this step is kept until these files change."]
    return [*lines, f"COPY --chown=app:app {files} ./", f"RUN {command}", "", copy_all]


def _app_dockerfile(project: Project, manifest: Manifest, installation: Installation, start: Start) -> str:
    has_build = "build" in manifest.scripts
    # Install scripts often call a development package, and so does a start script that is more than `node file`.
    is_lean = start.is_plain and not has_hooks(manifest)
    command = installation.lean if is_lean and not has_build else installation.install
    lines = [
        "# Made by Stackyn. To change it, commit it as `Dockerfile`.",
        f"FROM {project.options.toolchains.choose('node').image.name}",
        *_install(installation, command),
    ]
    if has_build:
        prune = f" && {installation.prune}" if is_lean and installation.prune else ""
        lines.append(f"RUN {installation.run} build{prune}")
    lines += [
        "",
        "ENV NODE_ENV=production",
        f"ENV PORT={project.port}",
        f"EXPOSE {project.port}",
        as_cmd(start.command),
    ]
    return "\n".join(lines) + "\n"


def _site_dockerfile(project: Project, installation: Installation, tool: str) -> str:
    folder = _SITE_TOOLS[tool]
    lines = [
        "# Made by Stackyn. To change it, commit it as `Dockerfile`.",
        f"FROM {project.options.toolchains.choose('node').image.name} AS build",
        *_install(installation, installation.install),
        f"RUN {installation.run} build",
    ]
    if tool == "@angular/cli":
        lines.append('RUN mv "$(dirname "$(find dist -name index.html | head -n 1)")" /app/site')
        folder = "site"
    return (
        "\n".join(lines) + "\n\n" + site_dockerfile(project, f"COPY --from=build /app/{folder}/ /srv/site/")
    )


RUNTIME = Runtime(name="node", looked_for=f"Node ({MANIFEST})", needs=_needs, plan=_plan)
