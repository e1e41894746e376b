"""Reads package.json, with every part of the expected type whatever the file has, and the requested Node version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stackyn_server.buildplan.formats.structured_files import json_with_comments, texts, yaml
from stackyn_server.buildplan.project import Project, undetected
from stackyn_server.buildplan.runtimes.node.scripts import LONGEST_SCRIPT
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_file, version_in_tool_files

MANIFEST = "package.json"
# pnpm reads the others too.
MANIFESTS = (MANIFEST, "package.json5", "package.yaml")
VERSION_FILES = (".node-version", ".nvmrc", ".bun-version", *TOOL_FILES)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of package.json that matter. `dependencies` and `development` map names to requested versions.

    `file` is the manifest's name: some pnpm projects use another than package.json.
    """

    file: str
    name: str
    version: str
    scripts: Mapping[str, str]
    dependencies: Mapping[str, str]
    development: Mapping[str, str]
    entries: tuple[str, ...]
    package_manager: str
    engines: Mapping[str, str]
    pinned: Mapping[str, str]
    workspaces: tuple[str, ...]
    has_own_build_list: bool

    def uses(self, *names: str) -> bool:
        return any(name in self.dependencies or name in self.development for name in names)

    def version_of(self, name: str) -> str:
        """Return the version of a dependency as the file has it; empty without that dependency."""
        return self.dependencies.get(name) or self.development.get(name) or ""

    @property
    def versions(self) -> tuple[str, ...]:
        """The requested versions of all dependencies."""
        return (*self.dependencies.values(), *self.development.values())

    @property
    def has_local_packages(self) -> bool:
        return any(
            text.startswith(("file:", "link:", "workspace:", "portal:", "./")) for text in self.versions
        )

    @property
    def uses_git(self) -> bool:
        schemes = ("git", "github:", "bitbucket:")
        return any(text.startswith(schemes) or _is_on_github(text) for text in self.versions)

    @property
    def words_of_scripts(self) -> set[str]:
        return {word for script in self.scripts.values() for word in script[:LONGEST_SCRIPT].split()}

    def managed_by(self, tool: str) -> str | None:
        """Return the version in `"packageManager": "<tool>@<version>+<hash>"`, empty for none that can be read."""
        name, _, rest = self.package_manager.partition("@")
        version = rest.partition("+")[0]
        if name != tool:
            return None
        is_readable = version[:1].isdigit() and version.replace(".", "").replace("-", "").isalnum()
        return version if is_readable else ""


def read_manifest(project: Project, folder: str = "") -> Manifest | None:
    """Read package.json; None when there is none. Raises `DeploymentFailed` when it is no JSON object."""
    paths = (f"{folder}/{name}" if folder else name for name in MANIFESTS)
    path = project.first(paths)
    text = project.text(path) if path else None
    if path is None or text is None:
        return None
    if path.endswith(MANIFEST):
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise ValueError("it is not an object")
        except (ValueError, RecursionError) as error:
            evidence = f"{path}: {error}"
            raise undetected(
                f"{path} is not valid JSON.", "Correct it, then push again.", evidence
            ) from error
    else:
        data = dict(yaml(project, path) if path.endswith(".yaml") else json_with_comments(project, path))
    pnpm, workspaces = data.get("pnpm"), data.get("workspaces")
    return Manifest(
        file=path.rpartition("/")[2],
        name=_text(data.get("name")),
        version=_text(data.get("version")),
        scripts=_texts(data.get("scripts")),
        dependencies={**_texts(data.get("optionalDependencies")), **_texts(data.get("dependencies"))},
        development=_texts(data.get("devDependencies")),
        entries=tuple(entry for key in ("main", "module") if (entry := _text(data.get(key)))),
        package_manager=_text(data.get("packageManager")),
        engines={**_engines(data.get("devEngines")), **_texts(data.get("engines"))},
        pinned=_texts(data.get("volta")),
        workspaces=texts(workspaces.get("packages") if isinstance(workspaces, dict) else workspaces),
        has_own_build_list=isinstance(pnpm, dict) and "onlyBuiltDependencies" in pnpm,
    )


def node_version(project: Project, manifest: Manifest) -> VersionRequest | None:
    """Return the requested version of Node: from a version file, else from package.json."""
    return node_version_in_files(project) or _first_request(
        (("volta", manifest.pinned.get("node")), ("engines", manifest.engines.get("node")))
    )


def node_version_in_files(project: Project) -> VersionRequest | None:
    """Return the version of Node that a version file requests."""
    for path in (".node-version", ".nvmrc"):
        if requested := version_in_file(project.text(path), path, Dialect.NPM):
            return requested
    return version_in_tool_files(project.text, "node", Dialect.NPM)


def tool_version(project: Project, manifest: Manifest, tool: str) -> VersionRequest | None:
    """Return the requested version of a package manager or of bun; `packageManager` comes first."""
    managed = manifest.managed_by(tool)
    requested = _first_request((("packageManager", managed), ("volta", manifest.pinned.get(tool))))
    requested = requested or version_in_tool_files(project.text, tool, Dialect.NPM)
    if requested is None and tool == "bun":
        requested = version_in_file(project.text(".bun-version"), ".bun-version", Dialect.NPM)
    return requested or _first_request((("engines", manifest.engines.get(tool)),))


def _first_request(fields: Iterable[tuple[str, str | None]]) -> VersionRequest | None:
    for field, text in fields:
        if text and (request := VersionRequest.read(text, f"{field}` of `{MANIFEST}", Dialect.NPM)):
            return request
    return None


def _engines(engines: Any) -> dict[str, str]:
    """Return the versions of `devEngines`, as in `{"runtime": {"name": "node", "version": "^22"}}`."""
    versions: dict[str, str] = {}
    for entries in engines.values() if isinstance(engines, dict) else ():
        for entry in entries if isinstance(entries, list) else [entries]:
            texts = _texts(entry)
            if "name" in texts and "version" in texts:
                versions.setdefault(texts["name"], texts["version"])
    return versions


def _is_on_github(version: str) -> bool:
    """True for a repository in the short form `owner/name#tag`."""
    owner, slash, name = version.partition("/")
    return (
        bool(slash and owner and name) and ":" not in owner and not version.startswith((".", "@", "/", "~"))
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else ""


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(name, str) and isinstance(text, str)}
