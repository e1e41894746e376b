"""Node and Bun: an app that runs, or a site that is built once and served as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from stackyn_server.buildplan.build_plan import GENERATED_DOCKERFILE, BuildPlan
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes.node.dockerfile import (
    NodeImageSpec,
    app_dockerfile,
    site_build_dockerfile,
)
from stackyn_server.buildplan.runtimes.node.elsewhere import (
    WRANGLER_FILES,
    assets_of_worker,
    product_for_server,
)
from stackyn_server.buildplan.runtimes.node.frameworks import product_of
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST, MANIFESTS, VERSION_FILES, node_version
from stackyn_server.buildplan.runtimes.node.packages import (
    SETTINGS,
    TEXT_LOCKS,
    NodeInstall,
    plan_installation,
    tool_package,
)
from stackyn_server.buildplan.runtimes.node.product import (
    FrameworkServer,
    Product,
    StaticSite,
    build_script,
    is_built,
)
from stackyn_server.buildplan.runtimes.node.script import NEEDS, plan_script
from stackyn_server.buildplan.runtimes.node.scripts import effective_command
from stackyn_server.buildplan.runtimes.node.start import NodeStart, find_start, own_start, tools_needed
from stackyn_server.buildplan.runtimes.node.system import system_packages
from stackyn_server.buildplan.runtimes.node.workspace import Package, Workspace, find_workspace, members
from stackyn_server.buildplan.runtimes.static.runtime import INDEX
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.domain.failures import DeploymentFailed

IGNORED = ("**/node_modules",)
_CONFIGS = ("next", "nuxt", "svelte", "astro", "vite", "react-router", "vue", "eleventy", ".eleventy")
_ORCHESTRATORS = frozenset(("turbo", "nx", "lerna", "lage", "wsrun"))
_PYTHON_MANIFESTS = ("requirements.txt", "pyproject.toml", "Pipfile", "setup.py")


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if files.isdisjoint(MANIFESTS):
        return NEEDS
    configs = (path for path in files if "/" not in path and path.startswith(_CONFIGS) and ".config." in path)
    settings = (PROCFILE, *VERSION_FILES, *SETTINGS, *TEXT_LOCKS, *configs, *WRANGLER_FILES, "angular.json")
    return (*MANIFESTS, *settings)


def _plan(project: Project) -> BuildPlan | None:
    workspace = find_workspace(project)
    if workspace is None:
        return plan_script(project)
    workspace = _with_its_only_app(workspace)
    installation = _installation(workspace)
    product = product_of(workspace.app, installation.execute)
    if not configured_command(project):
        product = product_for_server(workspace.app, product)
    product = _with_publish_directory(project, product)
    publishes_folder = project.options.is_set_by_owner("publish_directory")
    start = None if publishes_folder else find_start(workspace.app, installation, product)
    if start is None and not _is_site(workspace.app, product):
        if project.has(INDEX) or project.options.publish_directory or assets_of_worker(project):
            return None
        raise _undetected(workspace)
    spec = _image_spec(workspace, installation, product, start)
    shared = workspace.root.project.options.root_directory
    return BuildPlan(
        runtime=RUNTIME.name,
        reasons=tuple(_reasons(spec)),
        dockerfile=GENERATED_DOCKERFILE,
        generated=app_dockerfile(spec) if start else site_build_dockerfile(spec),
        port=project.port,
        ignore=IGNORED,
        copies=installation.files,
        base_images=tuple(_base_images(spec)),
        root=(shared or "") if shared != project.options.root_directory else None,
    )


def _with_publish_directory(project: Project, product: Product | None) -> Product | None:
    """Return the product with the publish directory of the owner's or another host's settings. Another host's
    directory for a framework's server (`.next`) does not make a site."""
    folder, is_set_by_owner = (
        project.options.publish_directory,
        project.options.is_set_by_owner("publish_directory"),
    )
    if not folder or (isinstance(product, FrameworkServer) and not is_set_by_owner):
        return product
    if isinstance(product, StaticSite):
        return replace(product, folders=(folder,))
    return StaticSite("The build", (folder,))


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
    is_site = product is not None and is_built(workspace.app, product)
    return is_site or own_start(workspace.app, installation, product) is not None


def image_spec(project: Project) -> NodeImageSpec | None:
    """Return how the package of the root directory is installed and built; None without a package.json.

    Raises `DeploymentFailed` for a package that can't be installed.
    """
    workspace = find_workspace(project)
    if workspace is None:
        return None
    installation = _installation(workspace)
    return _image_spec(workspace, installation, product_of(workspace.app, installation.execute), None)


def _installation(workspace: Workspace) -> NodeInstall:
    needed = tools_needed(workspace.app.manifest, workspace.app.project)
    installation = plan_installation(workspace.root.project, workspace.root.manifest, needed)
    if command := workspace.app.project.options.install_command:
        reason = "The install command of the app installs the packages."
        return replace(installation, reason=reason, install=command, lean=command, prune="", files=())
    return installation


def _is_site(app: Package, product: Product | None) -> bool:
    """True when the build makes pages: with a site tool, or from pages in the repository."""
    if not is_built(app, product) and not app.project.options.build_command:
        return False
    if product is None and _builds_members(app):
        return False  # the pages are built in the members' folders
    files = app.project.files
    inside_others = tuple(path.removesuffix(MANIFEST) for path in files if path.endswith(f"/{MANIFEST}"))
    return isinstance(product, StaticSite) or any(
        path.endswith(".html") and not path.startswith(inside_others) for path in files
    )


def _with_its_only_app(workspace: Workspace) -> Workspace:
    """Return the workspace with its only app chosen, if the root itself starts and builds nothing."""
    root = workspace.root
    if workspace.is_shared or (not root.manifest.workspaces and not root.project.has("pnpm-workspace.yaml")):
        return workspace
    installation = _installation(workspace)
    if find_start(root, installation, None) or (build_script(root) and not _builds_members(root)):
        return workspace
    apps = _apps(root, installation)
    return Workspace(root, apps[0]) if len(apps) == 1 else workspace


def _apps(root: Package, installation: NodeInstall) -> list[Package]:
    """Return the members that can be deployed by themselves; a member that others depend on is only a part of them."""
    packages = members(root)
    parts = {name for package in packages for name in package.manifest.dependencies}
    outermost = (package for package in packages if package.manifest.name not in parts)
    return [package for package in outermost if _is_whole(package, installation)]


def _builds_members(root: Package) -> bool:
    """True for a `build` script that builds the members: `turbo build`, `npm run build --workspaces`."""
    words = effective_command(build_script(root) or "", root.manifest.scripts).split()
    return bool(words) and (words[0] in _ORCHESTRATORS or words[0].startswith("-") or "--workspaces" in words)


def _is_whole(package: Package, installation: NodeInstall) -> bool:
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


def _image_spec(
    workspace: Workspace, installation: NodeInstall, product: Product | None, start: NodeStart | None
) -> NodeImageSpec:
    project, root, app = workspace.app.project, workspace.root, workspace.app
    toolchains = project.options.toolchains
    requested = node_version(project, app.manifest) or node_version(root.project, root.manifest)
    names = {*app.manifest.dependencies, *app.manifest.development, *root.manifest.dependencies}
    own = {tool.rpartition("@")[0] for tool in installation.tools}
    called = sorted(tools_needed(app.manifest, project) - own)
    return NodeImageSpec(
        workspace=workspace,
        choice=toolchains.choose("node", requested),
        installation=installation,
        system=system_packages(root.project, names, uses_git=app.manifest.uses_git or root.manifest.uses_git),
        product=product,
        start=start,
        called=tuple(tool_package(root.project, root.manifest, tool) for tool in called),
        is_local=toolchains.source == "local",
        bare=toolchains.choose("base").image.name if "base" in toolchains.tools else "",
    )


def _base_images(spec: NodeImageSpec) -> Iterator[str]:
    if spec.is_compiled_apart and spec.choice.build_image:
        yield spec.choice.build_image.name
    yield spec.choice.image.name
    if spec.needs_only_bun:
        yield spec.bare
    if spec.start is None:
        yield spec.app.project.options.toolchains.choose("static").image.name


def _reasons(spec: NodeImageSpec) -> Iterator[str]:
    app, system, product = spec.app, spec.system, spec.product
    yield f"`{app.path(app.manifest.file)}` makes it a Node project."
    if app.folder:
        yield f"It is part of a workspace, which is installed from its root for `{app.folder}`."
    yield "There are no packages: bun alone runs it." if spec.needs_only_bun else spec.choice.reason
    yield spec.installation.reason
    if system.causes:
        compilers = "compilers are there while packages are installed" if system.is_compiled else ""
        libraries = f"the app runs with {', '.join(system.run)}" if system.run else ""
        needs = " and ".join(filter(None, (compilers, libraries)))
        yield f"Because of {', '.join(system.causes)}, {needs or 'more of the system is there'}."
    if spec.left_out:
        yield f"The program that {', '.join(spec.left_out)} downloads for development is left out."
    if app.project.options.build_command:
        yield "The build command of the app is run."
    elif name := build_script(app):
        yield f"Its `{name}` script is run."
    elif spec.usual_build:
        yield f"It has no `build` script: `{spec.usual_build}` builds it."
    if spec.start is not None:
        yield spec.start.reason
    elif isinstance(product, StaticSite):
        yield f"{product.tool} builds a site of plain files, and nothing starts a server: the files are served."
    else:
        yield "Nothing starts a server: the pages that the build leaves are served."
    if python_manifest := app.project.first(_PYTHON_MANIFESTS):
        yield f"The Python files make no web application, so `{python_manifest}` is not installed."


RUNTIME = Runtime(name="node", looked_for=f"Node ({MANIFEST}, server.js)", needs=_needs, plan=_plan)
