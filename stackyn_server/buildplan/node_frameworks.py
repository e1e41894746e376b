"""What the framework of a Node project makes: a site of plain files in a folder, or a server and its command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from posixpath import normpath

from stackyn_server.buildplan.node_scripts import effective, option
from stackyn_server.buildplan.node_workspace import Package
from stackyn_server.buildplan.project import undetected

_SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")
_LONGEST_CONFIG = 100_000
_LONGEST_LINE = 400
# The adapter that SvelteKit's configuration imports, of those that are installed.
_ADAPTER = re.compile(r"['\"](@sveltejs/adapter-[a-z-]+|svelte-adapter-bun)['\"]")
_FOLDER = re.compile(r"[A-Za-z0-9_.@-][A-Za-z0-9_./@ -]{0,100}")
# Hosts that a site is built for instead of for a server of its own.
_FOREIGN = (
    "vercel",
    "netlify",
    "cloudflare",
    "cloudflare-workers",
    "cloudflare-pages",
    "aws",
    "deno",
    "begin",
)


@dataclass(frozen=True, slots=True)
class Site:
    """A site of plain files. `folders` are where it is built to, the likeliest first. `is_single_page`: index.html
    answers for every path. `programs` are commands of `start` scripts that can't serve it, though they look like it.
    """

    tool: str
    folders: tuple[str, ...]
    is_single_page: bool = False
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Server:
    """A server of the framework's own. `after_build` are commands that make it complete, `build_settings` are for the
    build, `adds` are packages to install globally. `programs` are commands of `start` scripts that it stands in for.
    """

    tool: str
    command: str
    after_build: tuple[str, ...] = ()
    build_settings: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


Product = Site | Server
# How tools build, for projects that have no `build` script.
_BUILDS = {
    "next": "next build", "nuxt": "nuxt build", "SvelteKit": "vite build", "astro": "astro build", "vite": "vite build",
    "React Router": "react-router build", "Angular": "ng build", "eleventy": "eleventy", "gatsby": "gatsby build",
    "@docusaurus/core": "docusaurus build", "react-scripts": "react-scripts build", "hexo": "hexo generate",
    "@vue/cli-service": "vue-cli-service build", "expo": "expo export --platform web",
    "vitepress": "vitepress build", "vuepress": "vuepress build",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _App:
    """A package with what frameworks ask of it. `execute` runs a program of a package, such as `npx`."""

    package: Package
    execute: str
    build: str = field(default="")

    def uses(self, *names: str) -> bool:
        return self.package.manifest.uses(*names)

    def config(self, *names: str) -> str:
        """Return the text of a configuration file by its name without a suffix."""
        return self.package.text(*(f"{name}{suffix}" for name in names for suffix in _SUFFIXES))


def product_of(package: Package, execute: str) -> Product | None:
    """Return what the project's framework makes; None for a project without a known one.

    Raises `DeploymentFailed` for a framework that is set to build for another host.
    """
    app = _App(package, execute, effective(build_script(package) or "", package.manifest.scripts))
    return next((product for make in _FRAMEWORKS if (product := make(app)) is not None), None)


def build_script(package: Package) -> str | None:
    """Return the name of the script that builds: Heroku's own before the usual one."""
    return next((name for name in ("heroku-postbuild", "build") if name in package.manifest.scripts), None)


def usual_build(package: Package, product: Product | None) -> str | None:
    """Return how the tool itself builds a project that has no `build` script; None where a script or nothing does."""
    if product is None or build_script(package) is not None:
        return None
    if product.tool == "vite" and not package.has(
        f"{_vite_root(_App(package, ''))}/index.html".removeprefix("./")
    ):
        return None  # it is there for the tests, mostly
    usual = _BUILDS.get(product.tool)
    scripts = package.manifest.scripts
    named = (effective(name, scripts) for name in scripts)  # such as `docs:build`
    return next((command for command in named if usual and f"{command} ".startswith(f"{usual} ")), usual)


def _next(app: _App) -> Product | None:
    config = app.config("next.config")
    if not (app.uses("next") or (config and app.package.folder)):
        return None
    output = _value(config, "output")
    if output == "export":
        return Site("next", (_value(config, "distDir") or "out", "out"), programs=("next", "serve"))
    if output == "standalone" and not app.package.folder:
        place = _value(config, "distDir") or ".next"
        return Server(
            "next",
            f"env HOSTNAME=0.0.0.0 node {place}/standalone/server.js",
            (
                f"cp -r {place}/static {place}/standalone/{place}/",
                f"if [ -d public ]; then cp -r public {place}/standalone/; fi",
            ),
            programs=("next",),
        )
    return Server("next", f"{app.execute} next start --hostname 0.0.0.0 --port $PORT")


def _nuxt(app: _App) -> Product | None:
    if not app.uses("nuxt", "nuxt3", "nuxt-nightly"):
        return None
    if re.match(r"[~^]?2", app.package.manifest.wanted("nuxt")):
        if "generate" in app.build.split():
            return Site("nuxt", ("dist",))
        return Server("nuxt", f"{app.execute} nuxt start --hostname 0.0.0.0 --port $PORT")
    if "generate" in app.build.split():
        return Site("nuxt", (".output/public", "dist"), programs=("serve",))
    preset = _value(app.config("nuxt.config"), "preset") or "node-server"
    if preset in ("static", "github-pages", "github_pages"):
        return Site("nuxt", (".output/public", "dist"), programs=("nuxt", "nuxi", "serve"))
    if preset.replace("_", "-").startswith(_FOREIGN):
        raise _for_another_host(f"the preset {preset}", "the preset node-server in nuxt.config.ts")
    return Server("nuxt", "node .output/server/index.mjs", programs=("nuxt", "nuxi"))


def _tanstack(app: _App) -> Product | None:
    if app.uses("@solidjs/start", "vinxi", "nitro", "nitropack") and not app.uses("vite-plugin-ssr"):
        return Server("nitro", "node .output/server/index.mjs", programs=("vinxi",))
    if not app.uses("@tanstack/react-start", "@tanstack/solid-start", "@tanstack/start"):
        return None
    # Since its release candidate the build has no server of its own: srvx is what its documentation serves it with.
    command = (
        "if [ -f .output/server/index.mjs ]; then exec node .output/server/index.mjs; "
        "else exec srvx --prod --host 0.0.0.0 --port $PORT --static ../client dist/server/server.js; fi"
    )
    return Server("TanStack Start", command, adds=("srvx",))


def _svelte_kit(app: _App) -> Product | None:
    if not app.uses("@sveltejs/kit"):
        return None
    config = "\n".join(map(app.config, ("svelte.config", "vite.config")))  # the second since Kit 2.63
    named = next((found[1] for line in _lines(config) if (found := _ADAPTER.search(line))), None)

    def has(adapter: str) -> bool:
        return named == adapter if named else app.uses(adapter)

    if has("@sveltejs/adapter-static"):
        folders = (_value(config, "pages") or "build", "build")
        return Site("SvelteKit", folders, _value(config, "fallback") is not None)
    if has("@sveltejs/adapter-node"):
        return Server("SvelteKit", f"node {_value(config, 'out') or 'build'}")
    if has("svelte-adapter-bun"):
        return Server("SvelteKit", "bun ./build/index.js", adds=("bun@1",))
    if foreign := next((name for host in _FOREIGN if has(name := f"@sveltejs/adapter-{host}")), None):
        raise _for_another_host(foreign, "@sveltejs/adapter-node in the configuration of SvelteKit")
    # The only variable by which adapter-auto chooses a server of its own.
    return Server("SvelteKit", "node build", build_settings=("GCP_BUILDPACKS=true",))


def _astro(app: _App) -> Product | None:
    if not app.uses("astro"):
        return None
    config = app.config("astro.config")
    folder = _value(config, "outDir") or "dist"
    if app.uses("@astrojs/node"):
        return Server("astro", f"node {folder}/server/entry.mjs")
    if foreign := _foreign(app, "@astrojs/"):
        if _value(config, "output") in ("server", "hybrid"):
            raise _for_another_host(foreign, "@astrojs/node in astro.config.mjs")
        return Site("astro", (folder, f"{folder}/client", "dist"))
    return Site("astro", (folder, "dist"), programs=("serve",))


def _react_router(app: _App) -> Product | None:
    if not app.uses("@react-router/dev"):
        return None
    config = app.config("react-router.config")
    if _is_off(config, "ssr"):
        folder = _value(config, "buildDirectory") or "build"
        return Site("React Router", (f"{folder}/client", folder), True, ("react-router-serve", "serve"))
    if not app.uses("@react-router/serve"):
        return None
    return Server("React Router", f"{app.execute} react-router-serve ./build/server/index.js")


def _remix(app: _App) -> Product | None:
    if not app.uses("@remix-run/dev"):
        return None
    config = app.config("vite.config")
    if _is_off(config, "ssr"):
        return Site("Remix", ("build/client",), True, ("remix-serve", "serve"))
    if not app.uses("@remix-run/serve"):
        return None
    place = "build/server/index.js" if config else "build/index.js"
    return Server("Remix", f"{app.execute} remix-serve ./{place}")


def _nest(app: _App) -> Product | None:
    if not app.uses("@nestjs/core"):
        return None
    name = "start:prod"
    if name in app.package.manifest.scripts:
        return Server("Nest", app.package.manifest.scripts[name], programs=("nest",))
    return Server("Nest", "node dist/main", programs=("nest",))


def _angular(app: _App) -> Product | None:
    if not app.uses("@angular/cli", "@angular/build", "@angular-devkit/build-angular"):
        return None
    scripts = app.package.manifest.scripts
    if served := next((name for name in scripts if name.startswith("serve:ssr")), None):
        return Server("Angular", scripts[served], programs=("ng",))
    return Site("Angular", tuple(_angular_folders(app)), True)


def _angular_folders(app: _App) -> Iterator[str]:
    try:
        projects = json.loads(app.package.text("angular.json") or "{}")["projects"].items()
        for name, project in projects:
            place = project["architect"]["build"]["options"].get("outputPath", f"dist/{name}")
            folder = place.get("base", f"dist/{name}") if isinstance(place, dict) else place
            if isinstance(folder, str) and _FOLDER.fullmatch(folder):
                yield from (f"{folder}/browser", folder)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    name = app.package.manifest.name
    yield from (f"dist/{name}/browser", f"dist/{name}", "dist/browser", "dist")


def _qwik(app: _App) -> Product | None:
    """Qwik City's pages are made by its adapter: without one the build leaves only their parts."""
    if not app.uses("@builder.io/qwik-city", "@qwik.dev/router") or not app.build.startswith("qwik "):
        return None
    scripts = app.package.manifest.scripts
    if "build.server" in scripts and scripts.get("serve", "").startswith("node "):
        return Server("Qwik", scripts["serve"], programs=("vite",))
    adapter = option(scripts.get("build.server", ""), "-c", "--config") or ""
    if "static" in adapter:
        return Site("Qwik", ("dist",), programs=("vite",))
    raise undetected(
        f"The project builds with Qwik's adapter `{adapter}`, and no script serves what that makes."
        if adapter
        else "This Qwik project has no adapter, so that its build makes neither pages nor a server.",
        "Add one of a server of its own (`npm run qwik add express`) or of a static site (`npm run qwik add static`), "
        "then push again.",
    )


def _documents(app: _App) -> Product | None:
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


def _eleventy(app: _App) -> Product | None:
    if not app.uses("@11ty/eleventy"):
        return None
    config = app.config(".eleventy", "eleventy.config")
    return Site("eleventy", (option(app.build, "--output") or _value(config, "output") or "_site", "_site"))


def _vite(app: _App) -> Product | None:
    config = app.config("vite.config")  # Nx has the package in the root of the workspace
    if not (app.uses("vite") or (config and app.package.folder) or "vite" in app.build.split()[:1]):
        return None
    root = _vite_root(app)
    folder = option(app.build, "--outDir", "--out-dir") or _value(config, "outDir") or "dist"
    return Site("vite", (normpath(f"{root}/{folder}"), folder), True)


def _vite_root(app: _App) -> str:
    return option(app.build, "--root") or _value(app.config("vite.config"), "root") or "."


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
    _Tool("ember-cli", "dist", True, ("--output-path",)),
    _Tool("@slidev/cli", "dist", True, ("--out", "-o")),
    _Tool("storybook", "storybook-static", False, ("--output-dir", "-o")),
)
# Bundlers of whatever is left.
_BUNDLERS = (_Tool("webpack", "dist", True, ("--output-path", "-o")),)


def _by_table(app: _App) -> Product | None:
    return _of(app, _TOOLS)


def _by_bundler(app: _App) -> Product | None:
    return _of(app, _BUNDLERS) if app.build else None


def _of(app: _App, tools: tuple[_Tool, ...]) -> Product | None:
    for tool in tools:
        if app.uses(tool.package):
            said = _value(app.config(tool.config), tool.key) if tool.config else None
            folder = option(app.build, *tool.options) or said or tool.folder
            return Site(tool.package, (folder, tool.folder), tool.is_single_page)
    return None


# Frameworks before the bundlers that they are made with.
_FRAMEWORKS: tuple[Callable[[_App], Product | None], ...] = (
    _next, _nuxt, _tanstack, _svelte_kit, _astro, _react_router, _remix, _nest, _angular, _qwik, _documents, _eleventy,
    _by_table, _vite, _by_bundler,
)  # fmt: skip


def _foreign(app: _App, prefix: str) -> str | None:
    return next((f"{prefix}{host}" for host in _FOREIGN if app.uses(f"{prefix}{host}")), None)


def _for_another_host(adapter: str, instead: str) -> Exception:
    return undetected(
        f"The project is set to build for another host, by {adapter}.",
        f"Use {instead}, which makes a server to run.",
    )


def _lines(config: str) -> Iterator[str]:
    for line in config[:_LONGEST_CONFIG].splitlines():
        if len(line) <= _LONGEST_LINE and not line.lstrip().startswith(("//", "*", "/*")):
            yield line


def _value(config: str, key: str) -> str | None:
    """Return the text of `key: "value"` in a configuration that is a program: what is computed is not seen."""
    pattern = re.compile(rf"(?:^|[\s{{,(\"'])['\"]?{key}['\"]? ?[:=] ?['\"`]([^'\"`$]{{0,100}})['\"`]")
    for line in _lines(config):
        if found := pattern.search(line):
            value = found.group(1)
            return value.removeprefix("./").rstrip("/") if value.strip() else value
    return None


def _is_off(config: str, key: str) -> bool:
    pattern = re.compile(rf"(?:^|[\s{{,])['\"]?{key}['\"]? ?: ?false\b")
    return any(pattern.search(line) for line in _lines(config))
