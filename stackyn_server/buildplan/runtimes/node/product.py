"""What a Node project builds: a site or a server; read from its package and its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stackyn_server.buildplan.runtimes.node.scripts import effective_command, option_value
from stackyn_server.buildplan.runtimes.node.workspace import Package

_SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")
_LONGEST_CONFIG = 100_000
_LONGEST_LINE = 400


@dataclass(frozen=True, slots=True)
class StaticSite:
    """A site of plain files. `folders` are its possible output folders, the likeliest first. `is_single_page`:
    index.html answers for every path. `programs`: commands of `start` scripts that seem to serve it but can't.
    """

    tool: str
    folders: tuple[str, ...]
    is_single_page: bool = False
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameworkServer:
    """The framework's own server. `after_build` are commands that complete the build, `build_settings` are variables
    for it, `adds` are packages to install globally. `programs` are commands of `start` scripts that it replaces.
    """

    tool: str
    command: str
    after_build: tuple[str, ...] = ()
    build_settings: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


Product = StaticSite | FrameworkServer
# How tools build, for projects that have no `build` script.
_BUILDS = {
    "next": "next build", "nuxt": "nuxt build", "SvelteKit": "vite build", "astro": "astro build", "vite": "vite build",
    "React Router": "react-router build", "Angular": "ng build", "eleventy": "eleventy", "gatsby": "gatsby build",
    "@docusaurus/core": "docusaurus build", "react-scripts": "react-scripts build", "hexo": "hexo generate",
    "@vue/cli-service": "vue-cli-service build", "expo": "expo export --platform web",
    "vitepress": "vitepress build", "vuepress": "vuepress build",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeApp:
    """A package, with the questions that framework rules ask. `execute` runs a package's program, such as `npx`."""

    package: Package
    execute: str
    build: str = ""

    def uses(self, *names: str) -> bool:
        return self.package.manifest.uses(*names)

    def config(self, *names: str) -> str:
        """Return the text of a configuration file by its name without a suffix."""
        return self.package.text(*(f"{name}{suffix}" for name in names for suffix in _SUFFIXES))


def build_script(package: Package) -> str | None:
    """Return the name of the build script: `heroku-postbuild` before `build`."""
    return next((name for name in ("heroku-postbuild", "build") if name in package.manifest.scripts), None)


def usual_build(package: Package, product: Product | None) -> str | None:
    """Return the tool's build command for a project without a build script; None if a script or nothing builds."""
    if product is None or build_script(package) is not None:
        return None
    if product.tool == "vite":
        page = f"{vite_root(NodeApp(package, ''))}/index.html".removeprefix("./")
        if not package.has(page):
            return None  # Vite is mostly there for the tests
    tool_command = _BUILDS.get(product.tool)
    scripts = package.manifest.scripts if tool_command else ()
    commands = (effective_command(name, package.manifest.scripts) for name in scripts)  # such as `docs:build`
    return next(
        (command for command in commands if f"{command} ".startswith(f"{tool_command} ")), tool_command
    )


def is_built(package: Package, product: Product | None) -> bool:
    """True when a script or the tool's own command builds."""
    return (build_script(package) or usual_build(package, product)) is not None


def vite_root(app: NodeApp) -> str:
    return option_value(app.build, "--root") or value(app.config("vite.config"), "root") or "."


def lines(config: str) -> Iterator[str]:
    for line in config[:_LONGEST_CONFIG].splitlines():
        if len(line) <= _LONGEST_LINE and not line.lstrip().startswith(("//", "*", "/*")):
            yield line


def value(config: str, key: str) -> str | None:
    """Return the text of `key: "value"` in a configuration that is a program; computed values are not found."""
    pattern = re.compile(rf"(?:^|[\s{{,(\"'])['\"]?{key}['\"]? ?[:=] ?['\"`]([^'\"`$]{{0,100}})['\"`]")
    for line in lines(config):
        if match := pattern.search(line):
            text = match.group(1)
            return text.removeprefix("./").rstrip("/") if text.strip() else text
    return None


def is_false(config: str, key: str) -> bool:
    pattern = re.compile(rf"(?:^|[\s{{,])['\"]?{key}['\"]? ?: ?false\b")
    return any(pattern.search(line) for line in lines(config))
