"""Finds what a Node project's framework builds: a site of plain files in a folder, or a server with its command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from stackyn_server.buildplan.project import undetected
from stackyn_server.buildplan.runtimes.node.product import (
    FrameworkServer,
    NodeApp,
    Product,
    StaticSite,
    build_script,
    is_false,
    lines,
    value,
)
from stackyn_server.buildplan.runtimes.node.scripts import effective_command, option_value
from stackyn_server.buildplan.runtimes.node.site_tools import by_table, documents, eleventy, vite, webpack
from stackyn_server.buildplan.runtimes.node.workspace import Package

# The adapter that SvelteKit's configuration imports, of those that are installed.
_ADAPTER = re.compile(r"['\"](@sveltejs/adapter-[a-z-]+|svelte-adapter-bun)['\"]")
_FOLDER = re.compile(r"[A-Za-z0-9_.@-][A-Za-z0-9_./@ -]{0,100}")
# Hosts whose adapters build for that host alone and make no server.
_FOREIGN = (
    "vercel", "netlify", "cloudflare", "cloudflare-workers", "cloudflare-pages", "aws", "deno", "begin",
)  # fmt: skip


def product_of(package: Package, execute: str) -> Product | None:
    """Return what the project's framework builds; None without a known framework.

    Raises `DeploymentFailed` for a framework that is set to build for another host.
    """
    app = NodeApp(package, execute, effective_command(build_script(package) or "", package.manifest.scripts))
    rules = (rule for rule, packages in _FRAMEWORKS if not packages or app.uses(*packages))
    return next((product for rule in rules if (product := rule(app)) is not None), None)


def _next(app: NodeApp) -> Product | None:
    config = app.config("next.config")
    if not (app.uses("next") or (config and app.package.folder)):
        return None
    output = value(config, "output")
    if output == "export":
        return StaticSite("next", (value(config, "distDir") or "out", "out"), programs=("next", "serve"))
    if output == "standalone" and not app.package.folder:
        dist_folder = value(config, "distDir") or ".next"
        return FrameworkServer(
            "next",
            f"env HOSTNAME=0.0.0.0 node {dist_folder}/standalone/server.js",
            (
                f"cp -r {dist_folder}/static {dist_folder}/standalone/{dist_folder}/",
                f"if [ -d public ]; then cp -r public {dist_folder}/standalone/; fi",
            ),
            programs=("next",),
        )
    return FrameworkServer("next", f"{app.execute} next start --hostname 0.0.0.0 --port $PORT")


def _nuxt(app: NodeApp) -> Product:
    if re.match(r"[~^]?2", app.package.manifest.version_of("nuxt")):
        if "generate" in app.build.split():
            return StaticSite("nuxt", ("dist",))
        return FrameworkServer("nuxt", f"{app.execute} nuxt start --hostname 0.0.0.0 --port $PORT")
    if "generate" in app.build.split():
        return StaticSite("nuxt", (".output/public", "dist"), programs=("serve",))
    preset = value(app.config("nuxt.config"), "preset") or "node-server"
    if preset in ("static", "github-pages", "github_pages"):
        return StaticSite("nuxt", (".output/public", "dist"), programs=("nuxt", "nuxi", "serve"))
    if preset.replace("_", "-").startswith(_FOREIGN):
        raise _for_another_host(f"the preset {preset}", "the preset node-server in nuxt.config.ts")
    return FrameworkServer("nuxt", "node .output/server/index.mjs", programs=("nuxt", "nuxi"))


def _nitro(app: NodeApp) -> Product | None:
    if app.uses("vite-plugin-ssr"):
        return None
    return FrameworkServer("nitro", "node .output/server/index.mjs", programs=("vinxi",))


def _tanstack(app: NodeApp) -> Product:
    # Since its release candidate the build has no server of its own: srvx is what its documentation serves it with.
    command = (
        "if [ -f .output/server/index.mjs ]; then exec node .output/server/index.mjs; "
        "else exec srvx --prod --host 0.0.0.0 --port $PORT --static ../client dist/server/server.js; fi"
    )
    return FrameworkServer("TanStack Start", command, adds=("srvx",))


def _svelte_kit(app: NodeApp) -> Product:
    config = "\n".join(map(app.config, ("svelte.config", "vite.config")))  # the second since Kit 2.63
    adapter_name = next((match[1] for line in lines(config) if (match := _ADAPTER.search(line))), None)

    def has(adapter: str) -> bool:
        return adapter_name == adapter if adapter_name else app.uses(adapter)

    if has("@sveltejs/adapter-static"):
        folders = (value(config, "pages") or "build", "build")
        return StaticSite("SvelteKit", folders, value(config, "fallback") is not None)
    if has("@sveltejs/adapter-node"):
        return FrameworkServer("SvelteKit", f"node {value(config, 'out') or 'build'}")
    if has("svelte-adapter-bun"):
        return FrameworkServer("SvelteKit", "bun ./build/index.js", adds=("bun@1",))
    if foreign := next((name for host in _FOREIGN if has(name := f"@sveltejs/adapter-{host}")), None):
        raise _for_another_host(foreign, "@sveltejs/adapter-node in the configuration of SvelteKit")
    # The only variable that makes adapter-auto choose a server of its own.
    return FrameworkServer("SvelteKit", "node build", build_settings=("GCP_BUILDPACKS=true",))


def _astro(app: NodeApp) -> Product:
    config = app.config("astro.config")
    folder = value(config, "outDir") or "dist"
    if app.uses("@astrojs/node"):
        return FrameworkServer("astro", f"node {folder}/server/entry.mjs")
    if foreign := next((name for host in _FOREIGN if app.uses(name := f"@astrojs/{host}")), None):
        if value(config, "output") in ("server", "hybrid"):
            raise _for_another_host(foreign, "@astrojs/node in astro.config.mjs")
        return StaticSite("astro", (folder, f"{folder}/client", "dist"))
    return StaticSite("astro", (folder, "dist"), programs=("serve",))


def _react_router(app: NodeApp) -> Product | None:
    config = app.config("react-router.config")
    if is_false(config, "ssr"):
        folder = value(config, "buildDirectory") or "build"
        return StaticSite("React Router", (f"{folder}/client", folder), True, ("react-router-serve", "serve"))
    if not app.uses("@react-router/serve"):
        return None
    return FrameworkServer("React Router", f"{app.execute} react-router-serve ./build/server/index.js")


def _remix(app: NodeApp) -> Product | None:
    config = app.config("vite.config")
    if is_false(config, "ssr"):
        return StaticSite("Remix", ("build/client",), True, ("remix-serve", "serve"))
    if not app.uses("@remix-run/serve"):
        return None
    server_file = "build/server/index.js" if config else "build/index.js"
    return FrameworkServer("Remix", f"{app.execute} remix-serve ./{server_file}")


def _nest(app: NodeApp) -> Product:
    command = app.package.manifest.scripts.get("start:prod", "node dist/main")
    return FrameworkServer("Nest", command, programs=("nest",))


def _adonis(app: NodeApp) -> Product | None:
    """Adonis builds the whole app into a folder, in which the app's own `start` script has to run."""
    start = app.package.manifest.scripts.get("start", "")
    match = re.fullmatch(r"node (?:\./)?((?:bin/)?server)(?:\.js)?", start)
    if match is None or not app.package.has(f"{match[1]}.ts"):
        return None
    return FrameworkServer("AdonisJS", f"node build/{match[1]}.js", programs=("node",))


def _analog(app: NodeApp) -> Product:
    config = app.config("vite.config")
    if is_false(config, "ssr") or any(re.search(r"\bstatic ?: ?true\b", line) for line in lines(config)):
        return StaticSite("Analog", ("dist/analog/public",), True, ("ng", "vite"))
    return FrameworkServer("Analog", "node dist/analog/server/index.mjs", programs=("ng", "vite"))


def _angular(app: NodeApp) -> Product:
    scripts = app.package.manifest.scripts
    if ssr_script := next((name for name in scripts if name.startswith("serve:ssr")), None):
        return FrameworkServer("Angular", scripts[ssr_script], programs=("ng",))
    return StaticSite("Angular", tuple(_angular_folders(app)), True)


def _angular_folders(app: NodeApp) -> Iterator[str]:
    try:
        projects = json.loads(app.package.text("angular.json") or "{}")["projects"].items()
        for name, project in projects:
            output_path = project["architect"]["build"]["options"].get("outputPath", f"dist/{name}")
            folder = output_path.get("base", f"dist/{name}") if isinstance(output_path, dict) else output_path
            if isinstance(folder, str) and _FOLDER.fullmatch(folder):
                yield from (f"{folder}/browser", folder)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    name = app.package.manifest.name
    yield from (f"dist/{name}/browser", f"dist/{name}", "dist/browser", "dist")


def _qwik(app: NodeApp) -> Product | None:
    """Qwik City's adapter makes the pages; without an adapter the build makes only parts of pages."""
    if not app.build.startswith("qwik "):
        return None
    scripts = app.package.manifest.scripts
    if "build.server" in scripts and scripts.get("serve", "").startswith("node "):
        return FrameworkServer("Qwik", scripts["serve"], programs=("vite",))
    adapter = option_value(scripts.get("build.server", ""), "-c", "--config") or ""
    if "static" in adapter:
        return StaticSite("Qwik", ("dist",), programs=("vite",))
    raise undetected(
        f"The project builds with Qwik's adapter `{adapter}`, and no script serves what that makes."
        if adapter
        else "This Qwik project has no adapter, so that its build makes neither pages nor a server.",
        "Add one of a server of its own (`npm run qwik add express`) or of a static site (`npm run qwik add static`), "
        "then push again.",
    )


# Each rule with the packages of which it needs one; without packages, the rule itself looks for its tool.
# Frameworks come before the bundlers that they are made with.
_FRAMEWORKS: tuple[tuple[Callable[[NodeApp], Product | None], tuple[str, ...]], ...] = (
    (_next, ()),
    (_nuxt, ("nuxt", "nuxt3", "nuxt-nightly")),
    (_nitro, ("@solidjs/start", "vinxi", "nitro", "nitropack")),
    (_tanstack, ("@tanstack/react-start", "@tanstack/solid-start", "@tanstack/start")),
    (_svelte_kit, ("@sveltejs/kit",)),
    (_astro, ("astro",)),
    (_react_router, ("@react-router/dev",)),
    (_remix, ("@remix-run/dev",)),
    (_nest, ("@nestjs/core",)),
    (_adonis, ("@adonisjs/core",)),
    (_analog, ("@analogjs/platform",)),
    (_angular, ("@angular/cli", "@angular/build", "@angular-devkit/build-angular")),
    (_qwik, ("@builder.io/qwik-city", "@qwik.dev/router")),
    (documents, ()),
    (eleventy, ("@11ty/eleventy",)),
    (by_table, ()),
    (vite, ()),
    (webpack, ("webpack",)),
)


def _for_another_host(adapter: str, instead: str) -> Exception:
    return undetected(
        f"The project is set to build for another host, by {adapter}.",
        f"Use {instead}, which makes a server to run.",
    )
