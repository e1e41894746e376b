"""Finds what starts a Node app: its owner's settings, its scripts, its framework or its main file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST, Manifest
from stackyn_server.buildplan.runtimes.node.packages import NodeInstall
from stackyn_server.buildplan.runtimes.node.product import (
    FrameworkServer,
    Product,
    StaticSite,
    build_script,
    is_built,
)
from stackyn_server.buildplan.runtimes.node.scripts import effective_command, is_development, tools_in
from stackyn_server.buildplan.runtimes.node.workspace import Package
from stackyn_server.buildplan.settings.start_command import configured_command

_SCRIPT_SUFFIXES = (".js", ".mjs", ".cjs")
_TYPED_SUFFIXES = (".ts", ".mts")
_MAIN_NAMES = tuple(
    f"{folder}{name}"
    for folder in ("", "src/", "dist/", "server/")
    for name in ("server", "index", "app", "main")
)
_PRODUCTION = ("start:prod", "start:production", "serve:prod", "production", "prod")
_SERVERS = (
    "express", "fastify", "koa", "@hapi/hapi", "@nestjs/core", "hono", "restify", "polka", "socket.io", "ws", "elysia",
    "@hono/node-server", "h3", "micro", "@feathersjs/feathers", "apollo-server", "@apollo/server", "sails",
    "@adonisjs/core",
)  # fmt: skip
_PLAIN_NODE = re.compile(r"node(?: [\w./=@:-]+)+")
_PLAIN_BUN = re.compile(r"bun(?: run)?(?: [\w./=@-]+)*? [\w./@-]+\.[mc]?[jt]sx?")
_WATCHED = re.compile(r"nodemon(?: -[\w-]+(?: [\w./,*][\w./,*-]*)?)*? ([\w./][\w./-]*\.[mc]?js)")


@dataclass(frozen=True, slots=True)
class NodeStart:
    """The start command. `is_plain`: it needs neither a development package nor a package manager around it."""

    command: str
    reason: str
    is_plain: bool = False


def find_start(package: Package, installation: NodeInstall, product: Product | None) -> NodeStart | None:
    """Return how the app is started; None for a site, and for a project that does not say how."""
    if configured := configured_command(package.project):
        return NodeStart(*configured)
    return own_start(package, installation, product)


def own_start(package: Package, installation: NodeInstall, product: Product | None) -> NodeStart | None:
    """Return how package.json and the files beside it start the app."""
    if start := _of_scripts(package, installation, product):
        return start
    if isinstance(product, FrameworkServer):
        is_plain = product.command.startswith("node ")
        return NodeStart(product.command, f"{product.tool} serves it.", is_plain)
    is_site = isinstance(product, StaticSite) and is_built(package, product)
    if is_site and not package.manifest.uses(*_SERVERS):
        return None
    return _of_main_file(package, installation)


def tools_needed(manifest: Manifest, project: Project) -> frozenset[str]:
    """Return the tools that the start command and the scripts which are run call by name."""
    configured = configured_command(project)
    names = ("start", "build", "heroku-postbuild", "postinstall", "prestart", *_PRODUCTION)
    return tools_in(*(manifest.scripts.get(name, "") for name in names), configured[0] if configured else "")


def _of_scripts(package: Package, installation: NodeInstall, product: Product | None) -> NodeStart | None:
    manifest = package.manifest
    scripts = manifest.scripts
    command = effective_command("start", scripts)
    program = command.split()[0] if command else ""
    if product is not None and program and program in product.programs:
        return None
    production = next((name for name in _PRODUCTION if name in scripts), None)
    is_for_development = is_development(command)
    if production and (is_for_development or not command):
        return _script(production, scripts, installation)
    serves = manifest.uses(*_SERVERS) or (product is None and _serves_files(package, command))
    if not command or (is_for_development and not serves):
        return None
    return _script("start", scripts, installation)


def _serves_files(package: Package, command: str) -> bool:
    """True for a command such as `http-server public`, if the repository has the pages and needs no build."""
    words = [word.strip("'\"").removeprefix("./").rstrip("/") for word in command.split()]
    is_server = words[:1] in (["serve"], ["http-server"]) and build_script(package) is None
    return is_server and any(package.has(f"{word}/index.html") for word in words[1:])


def _script(name: str, scripts: Mapping[str, str], installation: NodeInstall) -> NodeStart:
    script = scripts[name].strip()
    reason = f"Its `{name}` script starts the app."
    # Run directly, node itself gets the stop signal, and no package manager beside it uses memory.
    has_hooks = f"pre{name}" in scripts or f"post{name}" in scripts
    if not has_hooks and (_PLAIN_NODE.fullmatch(script) or _PLAIN_BUN.fullmatch(script)):
        return NodeStart(script, reason, is_plain=True)
    if not has_hooks and (watched := _WATCHED.fullmatch(script)):
        return NodeStart(f"node {watched.group(1)}", f"{reason} It is run without nodemon.", is_plain=True)
    return NodeStart(f"{installation.run} {name}", reason)


def _of_main_file(package: Package, installation: NodeInstall) -> NodeStart | None:
    entries = [entry.removeprefix("./") for entry in package.manifest.entries]
    entry_files = [f"{entry}{rest}" for entry in entries for rest in ("", ".js", "/index.js")]
    suffixes = (*_SCRIPT_SUFFIXES, *_TYPED_SUFFIXES)
    usual_files = (f"{name}{suffix}" for name in _MAIN_NAMES for suffix in suffixes)
    own_files = (name for name in usual_files if not _is_of_another(package, name))
    main_file = package.first(*entry_files, *own_files)
    if main_file is None or _is_of_page(package, main_file):
        return None
    has_no_entry = build_script(package) and not package.first(*entry_files)
    if has_no_entry and (built_file := _built_by_script(package, entries)):
        reason = f"There is no `start` script; `{built_file}`, which the build makes, is run."
        return NodeStart(f"node {shlex.quote(built_file)}", reason, is_plain=True)
    reason = f"There is no `start` script; `{main_file}` is run."
    if installation.tool == "bun":
        return NodeStart(f"bun {shlex.quote(main_file)}", reason, is_plain=True)
    if main_file.endswith(_TYPED_SUFFIXES) and package.manifest.uses("tsx"):
        return NodeStart(f"{installation.execute} tsx {shlex.quote(main_file)}", reason)
    return NodeStart(f"node {shlex.quote(main_file)}", reason, is_plain=True)


def _is_of_another(package: Package, script: str) -> bool:
    """True for a script in the folder of another project, which has packages of its own."""
    folder, slash, _ = script.partition("/")
    return bool(slash) and package.has(f"{folder}/{MANIFEST}")


def _is_of_page(package: Package, script: str) -> bool:
    """True for a script that the home page loads: it runs in browsers."""
    return script in package.text("index.html") and not package.manifest.uses(*_SERVERS)


def _built_by_script(package: Package, entries: list[str]) -> str | None:
    """Return the main file that the repository lacks because the build makes it, such as `dist/index.js`."""
    paths = (path for path in package.project.files if "/" in path)
    folders = {path.removeprefix(f"{package.folder}/").split("/")[0] for path in paths}
    built_entries = (entry for entry in entries if "/" in entry and entry.endswith(_SCRIPT_SUFFIXES))
    return next((entry for entry in built_entries if entry.split("/")[0] not in folders), None)
