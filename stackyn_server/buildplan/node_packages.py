"""How a Node project's packages are installed: by the tool whose lock file it has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackyn_server.buildplan.project import Project, undetected

MANIFEST = "package.json"
NPM_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
YARN_LOCK, PNPM_LOCK = "yarn.lock", "pnpm-lock.yaml"
BUN_LOCKS = ("bun.lock", "bun.lockb")
SETTINGS = (".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml")
# Scripts that npm runs by itself while it installs; they may need any file, and often a development package.
_HOOKS = ("preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare")
_VERSION = re.compile(r"\d+(?:\.\d+){0,2}(?:-[A-Za-z0-9.-]+)?")
# The release of pnpm that writes each version of its lock file.
_PNPM_OF_LOCK = {"5": "7", "6": "8", "9": "9"}
_PNPM_NEWEST = "9"
_YARN_CLASSIC, _YARN_NEWEST = "1", "4"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of package.json that matter, each of the expected type whatever the file has."""

    scripts: Mapping[str, str]
    dependencies: frozenset[str]
    development: frozenset[str]
    main: str
    package_manager: str
    has_workspaces: bool
    has_local_packages: bool

    def uses(self, *names: str) -> bool:
        return not (self.dependencies | self.development).isdisjoint(names)


@dataclass(frozen=True, slots=True)
class Installation:
    """`install` gets all packages, `lean` only those that run the app; `files` are copied before, or all if empty.

    `prune` removes the development packages later, empty when the tool has nothing safe for it. `run` runs a script of
    package.json. `tool` is a package to install globally first, for which `environment` has settings.
    """

    reason: str
    install: str
    lean: str
    run: str
    files: tuple[str, ...]
    prune: str = ""
    tool: str = ""
    environment: tuple[str, ...] = ()


def read_manifest(project: Project) -> Manifest | None:
    """Read package.json; None when there is none. Raises `DeploymentFailed` when it is no JSON object."""
    text = project.text(MANIFEST)
    if text is None:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(str(error)) from error
    if not isinstance(data, dict):
        raise _unreadable("it is not an object")
    dependencies = {**_table(data, "optionalDependencies"), **_table(data, "dependencies")}
    development = _table(data, "devDependencies")
    versions = [str(version) for version in (*dependencies.values(), *development.values())]
    return Manifest(
        scripts={name: text for name, text in _table(data, "scripts").items() if isinstance(text, str)},
        dependencies=frozenset(dependencies),
        development=frozenset(development),
        main=data["main"] if isinstance(data.get("main"), str) else "",
        package_manager=data["packageManager"] if isinstance(data.get("packageManager"), str) else "",
        has_workspaces=bool(data.get("workspaces")) or project.has("pnpm-workspace.yaml"),
        has_local_packages=any(
            version.startswith(("file:", "link:", "workspace:", "./")) for version in versions
        ),
    )


def plan_installation(project: Project, manifest: Manifest) -> Installation:
    """Choose the tool by its lock file, and its version by what the project names."""
    if lock := project.first(NPM_LOCKS):
        return _npm(project, manifest, f"`{lock}` pins the packages; npm ci installs them.", "npm ci", lock)
    if project.has(PNPM_LOCK):
        return _pnpm(project, manifest)
    if project.has(YARN_LOCK):
        return _yarn(project, manifest)
    reason = "There is no lock file: npm installs the newest packages that fit. Commit package-lock.json to pin them."
    if bun := project.first(BUN_LOCKS):
        reason = f"`{bun}` is not read, so npm installs the newest packages that fit."
    return _npm(project, manifest, reason, "npm install --no-package-lock")


def needs_whole_project(project: Project, manifest: Manifest) -> bool:
    """True when installing may read any file of the project, so that all are copied before."""
    local = manifest.has_workspaces or manifest.has_local_packages
    return (
        local or has_hooks(manifest) or any(path.startswith((".yarn/", "patches/")) for path in project.files)
    )


def has_hooks(manifest: Manifest) -> bool:
    return any(hook in manifest.scripts for hook in _HOOKS)


def _npm(project: Project, manifest: Manifest, reason: str, command: str, *locks: str) -> Installation:
    clean = "&& npm cache clean --force"
    return Installation(
        reason,
        f"{command} --include=dev {clean}",
        f"{command} --omit=dev {clean}",
        "npm run",
        _files(project, manifest, locks),
        prune="npm prune --omit=dev",
    )


def _pnpm(project: Project, manifest: Manifest) -> Installation:
    written = re.search(r"^lockfileVersion:\s*['\"]?(\d+)", project.text(PNPM_LOCK) or "", re.MULTILINE)
    by_lock = _PNPM_OF_LOCK.get(written.group(1), _PNPM_NEWEST) if written else _PNPM_NEWEST
    return Installation(
        f"`{PNPM_LOCK}` pins the packages; pnpm installs them.",
        "pnpm install --frozen-lockfile --prod=false",
        "pnpm install --frozen-lockfile --prod",
        "pnpm run",
        _files(project, manifest, (PNPM_LOCK,)),
        tool=f"pnpm@{_named_version(manifest, 'pnpm') or by_lock}",
    )


def _yarn(project: Project, manifest: Manifest) -> Installation:
    version = _named_version(manifest, "yarn")
    reason = f"`{YARN_LOCK}` pins the packages; yarn installs them."
    files = _files(project, manifest, (YARN_LOCK,))
    if project.has(".yarnrc.yml") or (version and not version.startswith("1")):
        return Installation(
            reason,
            "yarn install --immutable",
            "yarn install --immutable",
            "yarn run",
            files,
            tool=f"@yarnpkg/cli-dist@{version or _YARN_NEWEST}",
            # Its own way of keeping packages needs yarn around every command; a node_modules folder does not.
            environment=("YARN_NODE_LINKER=node-modules",),
        )
    return Installation(
        reason,
        "yarn install --frozen-lockfile --production=false",
        "yarn install --frozen-lockfile --production",
        "yarn run",
        files,
        tool=f"yarn@{version or _YARN_CLASSIC}",
    )


def _files(project: Project, manifest: Manifest, locks: tuple[str, ...]) -> tuple[str, ...]:
    if needs_whole_project(project, manifest):
        return ()
    return (MANIFEST, *locks, *(name for name in SETTINGS if project.has(name)))


def _named_version(manifest: Manifest, tool: str) -> str | None:
    """Return the version in `"packageManager": "<tool>@<version>+<hash>"`."""
    name, _, rest = manifest.package_manager.partition("@")
    found = _VERSION.match(rest)
    return found.group() if name == tool and found else None


def _table(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def _unreadable(reason: str) -> Exception:
    return undetected(
        f"{MANIFEST} is not valid JSON.", "Correct it, then push again.", f"{MANIFEST}: {reason}"
    )
