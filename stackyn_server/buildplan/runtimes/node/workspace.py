"""Workspaces: which packages of a repository are installed together, and which of them is the app."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.node.manifest import MANIFESTS, Manifest, read_manifest
from stackyn_server.buildplan.runtimes.node.packages import PNPM_SETTINGS
from stackyn_server.buildplan.workspace_patterns import matches, names_folder
from stackyn_server.domain.failures import DeploymentFailed

_MOST_MEMBERS = 200
# Each is compared with each pattern.
_MOST_FOLDERS = 5_000


@dataclass(frozen=True, slots=True)
class Package:
    """A package.json with its folder, which is empty for the workspace's root."""

    project: Project
    folder: str
    manifest: Manifest

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def has(self, name: str) -> bool:
        return self.project.has(self.path(name))

    def first(self, *names: str) -> str | None:
        """Return the first of the files that this package has."""
        return next((name for name in names if self.has(name)), None)

    def text(self, *names: str) -> str:
        """Return the text of the first of the files that this package has, empty without."""
        name = self.first(*names)
        return (self.project.text(self.path(name)) or "") if name else ""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Packages that are installed together: the root's package, and the package that is the app."""

    root: Package
    app: Package

    @property
    def is_shared(self) -> bool:
        return self.app.folder != ""


def find_workspace(project: Project) -> Workspace | None:
    """Return the workspace of the root directory's package; None without a package.json.

    Its root is the nearest folder above whose patterns name the root directory, else that directory itself.
    """
    own = read_manifest(project)
    if own is None:
        return None
    directory = project.options.root_directory or ""
    for ancestor, folder in _ancestors(directory):
        outer_project = project.at(replace(project.options, root_directory=ancestor or None))
        manifest = read_manifest(outer_project)
        if manifest is not None and _has_member(_patterns(outer_project, manifest), folder):
            return Workspace(Package(outer_project, "", manifest), Package(outer_project, folder, own))
    alone = Package(project, "", own)
    return Workspace(alone, alone)


def members(root: Package) -> list[Package]:
    """Return the packages that the root's patterns name, by their folders; those that can't be read are left out."""
    patterns = _patterns(root.project, root.manifest)
    manifests = (path.rpartition("/") for path in sorted(root.project.files) if "node_modules/" not in path)
    manifest_folders = (folder for folder, _, name in manifests if folder and name in MANIFESTS)
    folders = [folder for folder in islice(manifest_folders, _MOST_FOLDERS) if _has_member(patterns, folder)]
    return [package for folder in folders[:_MOST_MEMBERS] if (package := _member(root, folder)) is not None]


def builds_before(workspace: Workspace) -> list[Package]:
    """Return the workspace packages that the app needs and that have a `build` script, in build order."""
    by_name = {package.manifest.name: package for package in members(workspace.root) if package.manifest.name}
    ordered: list[Package] = []
    visited = {workspace.app.manifest.name}

    def visit(package: Package) -> None:
        for name in (*package.manifest.dependencies, *package.manifest.development):
            if name in by_name and name not in visited:
                visited.add(name)
                visit(by_name[name])
                if "build" in by_name[name].manifest.scripts:
                    ordered.append(by_name[name])

    visit(workspace.app)
    return ordered


def _member(root: Package, folder: str) -> Package | None:
    try:
        manifest = read_manifest(root.project, folder)
    except DeploymentFailed:
        return None
    return Package(root.project, folder, manifest) if manifest else None


def _ancestors(directory: str) -> Iterator[tuple[str, str]]:
    """Yield each folder above, the nearest first, with the path from there to the directory."""
    parts = directory.split("/") if directory else []
    for size in range(len(parts) - 1, -1, -1):
        yield "/".join(parts[:size]), "/".join(parts[size:])


def _patterns(project: Project, manifest: Manifest) -> list[str]:
    patterns = [*manifest.workspaces]
    is_list = False
    for line in (project.text(PNPM_SETTINGS) or "").splitlines():
        if line.startswith("packages:"):
            is_list = True
        elif is_list and line.strip().startswith("- "):
            patterns.append(line.strip()[2:].split(" #")[0].strip().strip("'\""))
        elif line.strip() and not line[0].isspace():
            is_list = False
    return [pattern.removeprefix("./").rstrip("/") for pattern in patterns[:_MOST_MEMBERS]]


def _has_member(patterns: list[str], folder: str) -> bool:
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    excluded = [pattern[1:].removeprefix("./") for pattern in patterns if pattern.startswith("!")]
    return any(_matches(pattern, folder) for pattern in included) and not any(
        _matches(pattern, folder) for pattern in excluded
    )


def _matches(pattern: str, folder: str) -> bool:
    """True when a pattern names a folder: `*` within one name, `**` over any number of them at the end."""
    if pattern.endswith("/**"):
        return folder.startswith(pattern.removesuffix("**")) or matches(folder, pattern)
    return names_folder(pattern, folder)
