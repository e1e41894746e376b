"""Refuse manifests with local dependencies outside of the root directory, which the build does not get."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from posixpath import commonpath, dirname, join, normpath
from typing import Any

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.formats.structured_files import Table, json_with_comments, table, tables, toml
from stackyn_server.buildplan.project import Project, undetected

_MANIFESTS_OF_NODE, _SCHEMES = "package.json", ("file:", "link:", "portal:")
_REQUIREMENTS = (
    "requirements.txt",
    "requirements.in",
    "requirements/production.txt",
    "requirements/prod.txt",
)
_REQUIRED = re.compile(
    r"^[ \t]*(?:(?:-e|--editable|-r|--requirement|-c|--constraint)[ \t=]*)?(?:file:)?(\.\./[^\s;#\[]*)",
    re.MULTILINE,
)
_REPLACED = re.compile(r"=>[ \t]+(\.\.(?:/\S*)?)[ \t]*$", re.MULTILINE)
_GEM_PATH = re.compile(r"\bpath(?::|['\"]?[ \t]*=>)[ \t]*['\"](\.\./[^'\"]*)['\"]")
_LONGEST_PARENT = 2000
_POM_NAME = re.compile(r"<artifactId>\s*([\w.-]+)\s*<")
_POM_PLACE = re.compile(r"<relativePath>\s*([^<\s]*)\s*<|<relativePath\s*/>")
_SETTINGS_OF_GRADLE = ("settings.gradle.kts", "settings.gradle")
_WORKSPACES = {
    "node": "a package.json with `workspaces`",
    "python": "a pyproject.toml with `[tool.uv.workspace]`",
    "rust": "a Cargo.toml with `[workspace]`",
}
LocalPaths = Iterator[tuple[str, str]]


def refuse_paths_outside(project: Project, plan: BuildPlan) -> None:
    """Raise `DeploymentFailed` for a generated plan whose manifest needs a path that the build would not have.

    A plan that is built from a folder above has what it needs.
    """
    if plan.generated is None or plan.root is not None or project.options.is_set_by_owner("install_command"):
        return
    find = _FINDERS.get(plan.runtime)
    for manifest, path in find(project) if find else ():
        target = normpath(join(dirname(manifest), path.replace("\\", "/")))
        if target == ".." or target.startswith("../"):
            raise _path_outside(project, plan.runtime, manifest, path)


def _path_outside(project: Project, runtime: str, manifest: str, path: str) -> Exception:
    root = project.options.root_directory or ""
    target = normpath(join(root, dirname(manifest), path.replace("\\", "/")))
    is_there = any(name == target or name.startswith(f"{target}/") for name in project.everything)
    if not root or not is_there:
        return undetected(
            f"`{manifest}` needs `{path}`, which is not in the repository.",
            "Commit it inside of the repository, or take it from a registry.",
        )
    common_folder = commonpath([root, target]) if target != root else dirname(root)
    suggestion = f"to {common_folder}" if common_folder else "back to the top of the repository"
    workspace = _WORKSPACES.get(runtime)
    alternative = f"make both members of one workspace, by {workspace} above them, or " if workspace else ""
    hint = f"{alternative}set the root directory {suggestion}, and add a Dockerfile there if the app is not found then."
    return undetected(
        f"`{manifest}` needs `{path}`, which is outside of the root directory {root}: only that folder is sent to the "
        "build.",
        hint[0].upper() + hint[1:],
    )


def _of_node(project: Project) -> LocalPaths:
    document = json_with_comments(project, _MANIFESTS_OF_NODE)
    for key in ("dependencies", "optionalDependencies", "devDependencies"):
        for version in table(document, key).values():
            scheme = next((name for name in _SCHEMES if str(version).startswith(name)), "")
            if scheme or str(version).startswith("../"):
                yield _MANIFESTS_OF_NODE, str(version).removeprefix(scheme)


def _of_python(project: Project) -> LocalPaths:
    for manifest in _REQUIREMENTS:
        yield from ((manifest, path) for path in _REQUIRED.findall(project.text(manifest) or ""))
        if project.has(manifest):
            return  # the one that is installed
    document = toml(project, "pyproject.toml")
    for dependencies in (
        table(document, "tool", "uv", "sources"),
        table(document, "tool", "poetry", "dependencies"),
    ):
        yield from (("pyproject.toml", manifest) for manifest in _paths(dependencies))


def _of_rust(project: Project) -> LocalPaths:
    document = toml(project, "Cargo.toml")
    for keys in (("dependencies",), ("build-dependencies",), ("dev-dependencies",), ("patch", "crates-io")):
        yield from (("Cargo.toml", path) for path in _paths(table(document, *keys)))


def _of_go(project: Project) -> LocalPaths:
    yield from (("go.mod", path) for path in _REPLACED.findall(project.text("go.mod") or ""))


def _of_php(project: Project) -> LocalPaths:
    repositories: Any = json_with_comments(project, "composer.json").get("repositories")
    for entry in tables(list(repositories.values()) if isinstance(repositories, Mapping) else repositories):
        if entry.get("type") == "path" and isinstance(entry.get("url"), str):
            yield "composer.json", entry["url"]


def _of_ruby(project: Project) -> LocalPaths:
    yield from (("Gemfile", path) for path in _GEM_PATH.findall(project.text("Gemfile") or ""))


def _of_java(project: Project) -> LocalPaths:
    """Yield the pom above that is the parent, and the settings above that name this folder."""
    parent = _parent_pom(project.text("pom.xml") or "")
    if parent:
        parent_pom = project.text_from_top(normpath(join(project.prefix, parent[0]))) or ""
        if _POM_NAME.findall("".join(_around_parent(parent_pom)[::2]))[:1] == [parent[1]]:
            yield "pom.xml", parent[0]
    folder = (project.options.root_directory or "").rpartition("/")[2]
    build = project.first(("build.gradle.kts", "build.gradle"))
    if build and folder and not project.first(_SETTINGS_OF_GRADLE):
        for name in _SETTINGS_OF_GRADLE:
            settings = project.text_from_top(normpath(join(project.prefix, "..", name))) or ""
            if re.search(rf"['\":]{re.escape(folder)}['\"]", settings):
                yield build, f"../{name}"


def _parent_pom(pom: str) -> tuple[str, str] | None:
    """Return (path, name) of the parent that Maven looks for in the folders around; None without."""
    parent = _around_parent(pom)[1][:_LONGEST_PARENT]
    name = _POM_NAME.search(parent)
    if name is None:
        return None
    relative_path = _POM_PLACE.search(parent)
    path = (relative_path[1] or "") if relative_path else "../pom.xml"
    if not path:
        return None
    return path if path.endswith(".xml") else f"{path.rstrip('/')}/pom.xml", name[1]


def _around_parent(pom: str) -> tuple[str, str, str]:
    """Return the text before, in and after the element `parent`."""
    before, _, rest = pom.partition("<parent>")
    parent, _, behind = rest.partition("</parent>")
    return before, parent, behind


def _paths(dependencies: Table) -> Iterator[str]:
    for dependency in dependencies.values():
        for entry in dependency if isinstance(dependency, list) else [dependency]:
            if isinstance(entry, Mapping) and isinstance(entry.get("path"), str):
                yield entry["path"]


_FINDERS: dict[str, Callable[[Project], LocalPaths]] = {
    "node": _of_node,
    "python": _of_python,
    "rust": _of_rust,
    "go": _of_go,
    "php": _of_php,
    "ruby": _of_ruby,
    "java": _of_java,
}
