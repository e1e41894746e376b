"""Tools of Node that make sites of plain files, and the folder that each leaves them in."""

from __future__ import annotations

from dataclasses import dataclass
from posixpath import normpath

from stackyn_server.buildplan.runtimes.node.product import (
    NodeApp,
    Product,
    StaticSite,
    usual_build,
    value,
    vite_root,
)
from stackyn_server.buildplan.runtimes.node.scripts import option_value


def documents(app: NodeApp) -> Product | None:
    """VitePress and VuePress build beside the documents, in the folder that the build script names."""
    for tool in ("vitepress", "vuepress"):
        if app.uses(tool):
            build = app.build or usual_build(app.package, StaticSite(tool, ())) or ""
            source = next((word for word in build.split()[2:] if not word.startswith("-")), ".")
            configured = option_value(build, "--outDir", "-d", "--dest")
            folder = configured or normpath(f"{source}/.{tool}/dist")
            return StaticSite(tool, (folder, f".{tool}/dist", f"docs/.{tool}/dist"))
    return None


def eleventy(app: NodeApp) -> Product:
    configured = value(app.config(".eleventy", "eleventy.config"), "output")
    return StaticSite("eleventy", (option_value(app.build, "--output") or configured or "_site", "_site"))


def vite(app: NodeApp) -> Product | None:
    config = app.config("vite.config")  # Nx has the package in the root of the workspace
    if not (app.uses("vite") or (config and app.package.folder) or "vite" in app.build.split()[:1]):
        return None
    root = vite_root(app)
    folder = option_value(app.build, "--outDir", "--out-dir") or value(config, "outDir") or "dist"
    return StaticSite("vite", (normpath(f"{root}/{folder}"), folder), True)


@dataclass(frozen=True, slots=True)
class _SiteTool:
    """A tool that builds a site: its default folder, and the option or the configuration key that changes it."""

    package: str
    folder: str
    is_single_page: bool = False
    options: tuple[str, ...] = ()
    config: str = ""
    key: str = ""


_TOOLS = (
    _SiteTool("gatsby", "public"),
    _SiteTool("gridsome", "dist"),
    _SiteTool("@docusaurus/core", "build", options=("--out-dir",)),
    _SiteTool("react-scripts", "build", True),
    _SiteTool("react-app-rewired", "build", True),
    _SiteTool("@craco/craco", "build", True),
    _SiteTool("@vue/cli-service", "dist", True, ("--dest",), "vue.config", "outputDir"),
    _SiteTool("expo", "dist", True, ("--output-dir",)),
    _SiteTool("@rsbuild/core", "dist", True, (), "rsbuild.config", "root"),
    _SiteTool("parcel", "dist", True, ("--dist-dir", "-d")),
    _SiteTool("parcel-bundler", "dist", True, ("--out-dir", "-d")),
    _SiteTool("hexo", "public"),
    _SiteTool("@quasar/app-vite", "dist/spa", True),
    _SiteTool("@quasar/app-webpack", "dist/spa", True),
    _SiteTool("rspress", "doc_build", config="rspress.config", key="outDir"),
    _SiteTool("@rspress/core", "doc_build", config="rspress.config", key="outDir"),
    _SiteTool("@stencil/core", "www"),
    _SiteTool("preact-cli", "build", True, ("--dest",)),
    _SiteTool("ember-cli", "dist", True, ("--output-path",)),
    _SiteTool("@slidev/cli", "dist", True, ("--out", "-o")),
    _SiteTool("storybook", "storybook-static", False, ("--output-dir", "-o")),
)


def webpack(app: NodeApp) -> Product | None:
    folder = option_value(app.build, "--output-path", "-o") or "dist"
    return StaticSite("webpack", (folder, "dist"), True) if app.build else None


def by_table(app: NodeApp) -> Product | None:
    for tool in _TOOLS:
        if app.uses(tool.package):
            configured_folder = value(app.config(tool.config), tool.key) if tool.config else None
            folder = option_value(app.build, *tool.options) or configured_folder or tool.folder
            return StaticSite(tool.package, (folder, tool.folder), tool.is_single_page)
    return None
