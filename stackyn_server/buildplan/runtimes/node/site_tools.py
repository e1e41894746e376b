"""Tools of Node that make sites of plain files, and the folder that each leaves them in."""

from __future__ import annotations

from dataclasses import dataclass
from posixpath import normpath

from stackyn_server.buildplan.runtimes.node.product import App, Product, Site, usual_build, value, vite_root
from stackyn_server.buildplan.runtimes.node.scripts import option


def documents(app: App) -> Product | None:
    """VitePress and VuePress build beside the documents, in the folder that the build script names."""
    for tool in ("vitepress", "vuepress"):
        if app.uses(tool):
            build = app.build or usual_build(app.package, Site(tool, ())) or ""
            words = build.split()
            folder = next((word for word in words[2:] if not word.startswith("-")), ".")
            given = option(build, "--outDir", "-d", "--dest")
            return Site(
                tool, (given or normpath(f"{folder}/.{tool}/dist"), f".{tool}/dist", f"docs/.{tool}/dist")
            )
    return None


def eleventy(app: App) -> Product | None:
    if not app.uses("@11ty/eleventy"):
        return None
    config = app.config(".eleventy", "eleventy.config")
    return Site("eleventy", (option(app.build, "--output") or value(config, "output") or "_site", "_site"))


def vite(app: App) -> Product | None:
    config = app.config("vite.config")  # Nx has the package in the root of the workspace
    if not (app.uses("vite") or (config and app.package.folder) or "vite" in app.build.split()[:1]):
        return None
    root = vite_root(app)
    folder = option(app.build, "--outDir", "--out-dir") or value(config, "outDir") or "dist"
    return Site("vite", (normpath(f"{root}/{folder}"), folder), True)


@dataclass(frozen=True, slots=True)
class _Tool:
    """A tool that builds a site, with its usual folder, and where another one is said."""

    package: str
    folder: str
    is_single_page: bool = False
    options: tuple[str, ...] = ()
    config: str = ""
    key: str = ""


_TOOLS = (
    _Tool("gatsby", "public"),
    _Tool("gridsome", "dist"),
    _Tool("@docusaurus/core", "build", options=("--out-dir",)),
    _Tool("react-scripts", "build", True),
    _Tool("react-app-rewired", "build", True),
    _Tool("@craco/craco", "build", True),
    _Tool("@vue/cli-service", "dist", True, ("--dest",), "vue.config", "outputDir"),
    _Tool("expo", "dist", True, ("--output-dir",)),
    _Tool("@rsbuild/core", "dist", True, (), "rsbuild.config", "root"),
    _Tool("parcel", "dist", True, ("--dist-dir", "-d")),
    _Tool("parcel-bundler", "dist", True, ("--out-dir", "-d")),
    _Tool("hexo", "public"),
    _Tool("@quasar/app-vite", "dist/spa", True),
    _Tool("@quasar/app-webpack", "dist/spa", True),
    _Tool("rspress", "doc_build", config="rspress.config", key="outDir"),
    _Tool("@rspress/core", "doc_build", config="rspress.config", key="outDir"),
    _Tool("@stencil/core", "www"),
    _Tool("preact-cli", "build", True, ("--dest",)),
    _Tool("ember-cli", "dist", True, ("--output-path",)),
    _Tool("@slidev/cli", "dist", True, ("--out", "-o")),
    _Tool("storybook", "storybook-static", False, ("--output-dir", "-o")),
)
# Bundlers of whatever is left.
_BUNDLERS = (_Tool("webpack", "dist", True, ("--output-path", "-o")),)


def by_table(app: App) -> Product | None:
    return _of(app, _TOOLS)


def by_bundler(app: App) -> Product | None:
    return _of(app, _BUNDLERS) if app.build else None


def _of(app: App, tools: tuple[_Tool, ...]) -> Product | None:
    for tool in tools:
        if app.uses(tool.package):
            said = value(app.config(tool.config), tool.key) if tool.config else None
            folder = option(app.build, *tool.options) or said or tool.folder
            return Site(tool.package, (folder, tool.folder), tool.is_single_page)
    return None
