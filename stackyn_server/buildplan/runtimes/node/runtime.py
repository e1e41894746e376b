"""Node and Bun: an app that runs, or a site that is built once and served as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from stackyn_server.buildplan.build_plan import GENERATED_DOCKERFILE, BuildPlan
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes.node.dockerfile import Recipe, app_dockerfile, site_build_dockerfile
from stackyn_server.buildplan.runtimes.node.elsewhere import WRANGLER_FILES, assets_of_worker, served_here
from stackyn_server.buildplan.runtimes.node.frameworks import product_of
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST, MANIFESTS, VERSION_FILES, asked_node
from stackyn_server.buildplan.runtimes.node.packages import (
    LOCKS,
    SETTINGS,
    Installation,
    plan_installation,
    tool_package,
)
from stackyn_server.buildplan.runtimes.node.product import Product, Server, Site, build_script, usual_build
from stackyn_server.buildplan.runtimes.node.script import NEEDS, plan_script
from stackyn_server.buildplan.runtimes.node.scripts import effective
from stackyn_server.buildplan.runtimes.node.start import Start, find_start, own_start, tools_needed
from stackyn_server.buildplan.runtimes.node.system import system_packages
from stackyn_server.buildplan.runtimes.node.workspace import Package, Workspace, find_workspace, members
from stackyn_server.buildplan.runtimes.static.runtime import INDEX
from stackyn_server.buildplan.settings.start_command import PROCFILE, given_command
from stackyn_server.domain.failures import DeploymentFailed

IGNORED = ("**/node_modules",)
_CONFIGS = ("next", "nuxt", "svelte", "astro", "vite", "react-router", "vue", "eleventy", ".eleventy")
_ORCHESTRATORS = frozenset(("turbo", "nx", "lerna", "lage", "wsrun"))
_PYTHON_MANIFESTS = ("requirements.txt", "pyproject.toml", "Pipfile", "setup.py")


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if files.isdisjoint(MANIFESTS):
        return NEEDS
    locks = (lock for names in LOCKS.values() for lock in names if lock != "bun.lockb")
    configs = (path for path in files if "/" not in path and path.startswith(_CONFIGS) and ".config." in path)
    return (
        *MANIFESTS,
        PROCFILE,
        *VERSION_FILES,
        *SETTINGS,
        *locks,
        *configs,
        *WRANGLER_FILES,
        "angular.json",
    )


def _plan(project: Project) -> BuildPlan | None:
    workspace = find_workspace(project)
    if workspace is None:
        return plan_script(project)
    workspace = _with_its_only_app(workspace)
    installation = _installation(workspace)
    product = product_of(workspace.app, installation.execute)
    if not given_command(project):
        product = served_here(workspace.app, product)
    product = _published(project, product)
    is_said = project.options.is_own("publish_directory")
    start = None if is_said else find_start(workspace.app, installation, product)
    if start is None and not _is_site(workspace.app, product):
        if project.has(INDEX) or project.options.publish_directory or assets_of_worker(project):
            return None
        raise _undetected(workspace)
    recipe = _recipe(workspace, installation, product, start)
    shared = workspace.root.project.options.root_directory
    return BuildPlan(
        runtime=RUNTIME.name,
        reasons=tuple(_reasons(recipe)),
        dockerfile=GENERATED_DOCKERFILE,
        generated=app_dockerfile(recipe) if start else site_build_dockerfile(recipe),
        port=project.port,
        ignore=IGNORED,
        copies=installation.files,
        base_images=tuple(_base_images(recipe)),
        root=(shared or "") if shared != project.options.root_directory else None,
    )


def _published(project: Project, product: Product | None) -> Product | None:
    """Return what the build makes, by the folder that the owner or another host names. What that host makes of a
    framework's server (`.next`) is no site here."""
    folder = project.options.publish_directory
    if not folder or (isinstance(product, Server) and not project.options.is_own("publish_directory")):
        return product
    if isinstance(product, Site):
        return replace(product, folders=(folder,))
    return Site("The build", (folder,))


def is_app(project: Project) -> bool:
    """True when package.json makes an app or a site, whatever else is in the repository."""
    try:
        workspace = find_workspace(project)
        if workspace is None:
            return False
        installation = _installation(workspace)
        product = product_of(workspace.app, installation.execute)
    except DeploymentFailed:
        return False
    is_site = (
        product is not None
        and (build_script(workspace.app) or usual_build(workspace.app, product)) is not None
    )
    return is_site or own_start(workspace.app, installation, product) is not None


def building(project: Project) -> Recipe | None:
    """Return how the package of the root directory is installed and built; None without a package.json.

    Raises `DeploymentFailed` for one that can't be.
    """
    workspace = find_workspace(project)
    if workspace is None:
        return None
    installation = _installation(workspace)
    return _recipe(workspace, installation, product_of(workspace.app, installation.execute), None)


def _installation(workspace: Workspace) -> Installation:
    needed = tools_needed(workspace.app.manifest, workspace.app.project)
    installation = plan_installation(workspace.root.project, workspace.root.manifest, needed)
    if command := workspace.app.project.options.install_command:
        reason = "The install command of the app installs the packages."
        return replace(installation, reason=reason, install=command, lean=command, prune="", files=())
    return installation


def _is_site(app: Package, product: Product | None) -> bool:
    """True when the `build` script makes pages: by a tool for that, or of pages that are in the repository."""
    if not (build_script(app) or usual_build(app, product) or app.project.options.build_command):
        return False
    if product is None and _builds_members(app):
        return False  # they are not there, whatever other pages are
    files = app.project.files
    inside_others = tuple(path.removesuffix(MANIFEST) for path in files if path.endswith(f"/{MANIFEST}"))
    return isinstance(product, Site) or any(
        path.endswith(".html") and not path.startswith(inside_others) for path in files
    )


def _with_its_only_app(workspace: Workspace) -> Workspace:
    """Return the workspace with the one member that is an app, where the root itself starts and builds nothing."""
    root = workspace.root
    if workspace.is_shared or (not root.manifest.workspaces and not root.project.has("pnpm-workspace.yaml")):
        return workspace
    installation = _installation(workspace)
    if find_start(root, installation, None) or (build_script(root) and not _builds_members(root)):
        return workspace
    apps = _apps(root, installation)
    return Workspace(root, apps[0]) if len(apps) == 1 else workspace


def _apps(root: Package, installation: Installation) -> list[Package]:
    """Return the members that can be deployed by themselves; what others depend on is a part of those."""
    packages = members(root)
    parts = {name for package in packages for name in package.manifest.dependencies}
    return [
        package
        for package in packages
        if package.manifest.name not in parts and _is_whole(package, installation)
    ]


def _builds_members(root: Package) -> bool:
    """True for a `build` script that has the members build themselves: `turbo build`, `npm run build --workspaces`."""
    words = effective(build_script(root) or "", root.manifest.scripts).split()
    return bool(words) and (words[0] in _ORCHESTRATORS or words[0].startswith("-") or "--workspaces" in words)


def _is_whole(package: Package, installation: Installation) -> bool:
    try:
        product = product_of(package, installation.execute)
    except DeploymentFailed:
        return False
    return product is not None or "start" in package.manifest.scripts


def _undetected(workspace: Workspace) -> Exception:
    installation = _installation(workspace)
    folders = [package.folder for package in _apps(workspace.root, installation)]
    if folders and not workspace.is_shared:
        return undetected(
            f"This is a workspace of several Node projects ({MANIFEST}), and nothing says which one to start.",
            f"Set the root directory to one of: {', '.join(folders[:10])}.",
        )
    return undetected(
        f"This is a Node project ({MANIFEST}), but nothing says how to start it.",
        f"Add a `start` script to {MANIFEST}, or set the app's start command.",
    )


def _recipe(
    workspace: Workspace, installation: Installation, product: Product | None, start: Start | None
) -> Recipe:
    project, root, app = workspace.app.project, workspace.root, workspace.app
    toolchains = project.options.toolchains
    asked = asked_node(project, app.manifest) or asked_node(root.project, root.manifest)
    names = {*app.manifest.dependencies, *app.manifest.development, *root.manifest.dependencies}
    own = {tool.rpartition("@")[0] for tool in installation.tools}
    called = sorted(tools_needed(app.manifest, project) - own)
    is_served = isinstance(product, Server) and start is not None and start.command == product.command
    adds = product.adds if isinstance(product, Server) and is_served else ()
    return Recipe(
        workspace=workspace,
        choice=toolchains.choose("node", asked),
        installation=installation,
        system=system_packages(root.project, names, uses_git=app.manifest.uses_git or root.manifest.uses_git),
        product=product,
        start=start,
        tools=(
            *installation.tools,
            *(tool_package(root.project, root.manifest, tool) for tool in called),
            *adds,
        ),
        is_local=toolchains.source == "local",
        bare=toolchains.choose("base").image.name if "base" in toolchains.tools else "",
    )


def _base_images(recipe: Recipe) -> Iterator[str]:
    if recipe.is_compiled_apart and recipe.choice.build_image:
        yield recipe.choice.build_image.name
    yield recipe.choice.image.name
    if recipe.needs_only_bun:
        yield recipe.bare
    if recipe.start is None:
        yield recipe.app.project.options.toolchains.choose("static").image.name


def _reasons(recipe: Recipe) -> Iterator[str]:
    app, system, product = recipe.app, recipe.system, recipe.product
    yield f"`{app.path(app.manifest.file)}` makes it a Node project."
    if app.folder:
        yield f"It is part of a workspace, which is installed from its root for `{app.folder}`."
    yield "There are no packages: bun alone runs it." if recipe.needs_only_bun else recipe.choice.reason
    yield recipe.installation.reason
    if system.causes:
        compilers = "compilers are there while packages are installed" if system.is_compiled else ""
        libraries = f"the app runs with {', '.join(system.run)}" if system.run else ""
        needs = " and ".join(filter(None, (compilers, libraries)))
        yield f"Because of {', '.join(system.causes)}, {needs or 'more of the system is there'}."
    if recipe.left_out:
        yield f"The program that {', '.join(recipe.left_out)} downloads for development is left out."
    if app.project.options.build_command:
        yield "The build command of the app is run."
    elif name := build_script(app):
        yield f"Its `{name}` script is run."
    elif recipe.usual_build:
        yield f"It has no `build` script: `{recipe.usual_build}` builds it."
    if recipe.start is not None:
        yield recipe.start.reason
    elif isinstance(product, Site):
        yield f"{product.tool} builds a site of plain files, and nothing starts a server: the files are served."
    else:
        yield "Nothing starts a server: the pages that the build leaves are served."
    if found := app.project.first(_PYTHON_MANIFESTS):
        yield f"The Python files make no web application, so `{found}` is not installed."


RUNTIME = Runtime(name="node", looked_for=f"Node ({MANIFEST}, server.js)", needs=_needs, plan=_plan)
