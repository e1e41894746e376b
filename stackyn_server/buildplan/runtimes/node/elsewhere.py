"""Node projects that don't run on a server: Cloudflare Workers, phone and desktop apps, editor extensions.

Sources: the published references of Wrangler's configuration, Electron, React Native, Expo and VS Code's extensions.
"""

from __future__ import annotations

from posixpath import normpath

from stackyn_server.buildplan.formats.structured_files import Table, json_with_comments, text_at, toml
from stackyn_server.buildplan.project import Project, undetected
from stackyn_server.buildplan.runtimes.node.product import Product, StaticSite, build_script
from stackyn_server.buildplan.runtimes.node.scripts import effective_command
from stackyn_server.buildplan.runtimes.node.workspace import Package

WRANGLER_FILES = ("wrangler.jsonc", "wrangler.json", "wrangler.toml")
_ELECTRON = frozenset(("electron", "electron-forge", "electron-vite", "electronmon"))
# The keys of Wrangler's configuration for the folder of plain files that is served.
_ASSETS = (("assets", "directory"), ("pages_build_output_dir",), ("site", "bucket"))


def product_for_server(package: Package, product: Product | None) -> Product | None:
    """Return the product of a project without a configured start command; a site if Wrangler serves only plain files.

    Raises `DeploymentFailed` for a project that runs only elsewhere.
    """
    manifest = package.manifest
    words = effective_command("start", manifest.scripts).split()
    program = words[0] if words else ""
    if manifest.uses("electron") and (program in _ELECTRON or (not program and product is None)):
        raise _elsewhere(package, "an Electron app, which runs on desktops")
    if product is None and manifest.uses("react-native") and program in ("", "react-native"):
        raise _elsewhere(package, "a React Native app, which runs on phones")
    if program == "meteor" or package.has(".meteor/release"):
        raise undetected(
            f"This is a Meteor app (`{package.path(manifest.file)}`), which Meteor's own tool builds, and this server "
            "does not have it.",
            "Add a Dockerfile that builds it by `meteor build` and starts what that makes with Node.",
        )
    if _is_for_phones(package, product):
        raise undetected(
            f"This Expo app is for phones only: `{package.path(manifest.file)}` has no react-native-web.",
            "To have it as a site, run `npx expo install react-dom react-native-web`, then push again. If there is a "
            "server beside it, set the root directory to its folder.",
        )
    if product is None and not program and "vscode" in manifest.engines:
        raise _elsewhere(package, "an extension of Visual Studio Code")
    return _worker(package, words) if product is None else product


def assets_of_worker(project: Project) -> str | None:
    """Return the folder of plain files that Wrangler's configuration serves; None if there is a Worker too."""
    settings = _settings(project)
    if text_at(settings, "main"):
        return None
    directory = next((folder for keys in _ASSETS if (folder := text_at(settings, *keys))), None)
    folder = normpath(directory) if directory else ""
    return None if folder.startswith(("/", "..")) else folder or None


def is_single_page_of_worker(project: Project) -> bool:
    """True where Wrangler's configuration shows the home page for unknown paths."""
    return text_at(_settings(project), "assets", "not_found_handling") == "single-page-application"


def _worker(package: Package, start: list[str]) -> Product | None:
    """Return a Cloudflare project's site of plain files; None if something else may start the project."""
    is_of_wrangler = start[:1] == ["wrangler"] or (not start and package.first(*WRANGLER_FILES) is not None)
    if not is_of_wrangler or package.folder:
        return None
    folder = assets_of_worker(package.project)
    if start[1:3] == ["pages", "dev"]:
        folder = folder or next((normpath(word) for word in start[3:] if not word.startswith("-")), None)
    if folder and not any(path.startswith("functions/") for path in package.project.files):
        return StaticSite("Wrangler", (folder,), programs=("wrangler",))
    if not start and text_at(_settings(package.project), "main") is None:
        return None
    raise _elsewhere(package, "a Worker of Cloudflare, which runs there only")


def _settings(project: Project) -> Table:
    path = project.first(WRANGLER_FILES)
    if path is None:
        return {}
    return toml(project, path) if path.endswith(".toml") else json_with_comments(project, path)


def _is_for_phones(package: Package, product: Product | None) -> bool:
    manifest = package.manifest
    is_expo = isinstance(product, StaticSite) and product.tool == "expo" and build_script(package) is None
    return is_expo and manifest.uses("react-native") and not manifest.uses("react-native-web")


def _elsewhere(package: Package, what: str) -> Exception:
    return undetected(
        f"This is {what} (`{package.path(package.manifest.file)}`).",
        "Push a project with a server or a site. If this one has both, set the root directory to the folder of the "
        "server, or set the app's start command.",
    )
