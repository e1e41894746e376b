"""Chooses how a Node project's packages are installed: by the tool that it names, or whose lock file it has."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from posixpath import basename

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST, Manifest, tool_version

NPM_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
YARN_LOCK, PNPM_LOCK = "yarn.lock", "pnpm-lock.yaml"
BUN_LOCKS = ("bun.lock", "bun.lockb")
LOCKS = {"pnpm": (PNPM_LOCK,), "bun": BUN_LOCKS, "yarn": (YARN_LOCK,), "npm": NPM_LOCKS}
TEXT_LOCKS = tuple(lock for locks in LOCKS.values() for lock in locks if lock != "bun.lockb")
YARN_SETTINGS, PNPM_SETTINGS = ".yarnrc.yml", "pnpm-workspace.yaml"
SETTINGS = (".npmrc", ".yarnrc", YARN_SETTINGS, PNPM_SETTINGS, "bunfig.toml")
# Scripts that npm runs by itself while it installs; they may need any file, and often a development package.
_HOOKS = ("preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare")
# The release of a tool that writes each version of its lock file: the last one, where there will be no other.
_PNPM_OF_LOCK = {"5.3": "6.35.1", "5.4": "7.33.7", "6.0": "8.15.9", "6.1": "8.15.9", "9.0": "9.15.9"}
_PNPM_OF_SETTINGS = "10"
_YARN_OF_LOCK = {"4": "2.4.3", "5": "3.8.7", "6": "3.8.7", "7": "3.8.7", "8": "4"}
_YARN_CLASSIC, _YARN_NEWEST, _BUN = "1.22.22", "4", "1"
# The keys of pnpm-workspace.yaml that pnpm 9 knows; any other key is for a newer pnpm.
_PNPM_9_SETTINGS = frozenset(("packages", "catalog", "catalogs"))
_SETTING = re.compile(r"([A-Za-z]{1,60}):")
CACHE = "/tmp/packages"
_CLEAN, _CLEAN_NPM = f"&& rm -rf {CACHE}", "&& npm cache clean --force"
_FIRST_LINES = 12


@dataclass(frozen=True, slots=True)
class NodeInstall:
    """`install` installs all packages, `lean` only those that the app needs to run.

    `version` is the tool's, empty for the one in the image. `files` are copied before; all if empty. `tools` are
    packages to install globally first, `environment` their settings. `prune` removes the development packages after
    the build, empty if the tool has no safe command for it.
    """

    tool: str
    version: str
    reason: str
    install: str
    lean: str
    files: tuple[str, ...]
    tools: tuple[str, ...]
    environment: tuple[str, ...] = ()
    prune: str = ""

    @property
    def run(self) -> str:
        """The command that runs a script of package.json."""
        return f"{self.tool} run"

    @property
    def execute(self) -> str:
        """The command that runs a program of a package."""
        return {"npm": "npx", "pnpm": "pnpm exec", "yarn": "yarn run", "bun": "bunx"}[self.tool]

    @property
    def agent(self) -> str:
        """The user agent that the tool gives to the scripts that it runs; empty if its version is not known."""
        return f"{self.tool}/{self.version}" if self.version else ""


def plan_installation(
    project: Project, manifest: Manifest, needed: frozenset[str] = frozenset()
) -> NodeInstall:
    """Choose the tool by `packageManager` or the lock file, in the version that the project requests.

    `needed` are tools that scripts call by name. bun is chosen if it is among them or its types are used, and the
    project names no other tool.
    """
    installations = {"pnpm": _pnpm, "yarn": _yarn, "bun": _bun, "npm": _npm}
    return installations[_chosen_tool(project, manifest, needed)](project, manifest)


def _chosen_tool(project: Project, manifest: Manifest, needed: frozenset[str]) -> str:
    named_tool = manifest.package_manager.partition("@")[0]
    locked = [tool for tool, locks in LOCKS.items() if project.first(locks)]
    if named_tool in LOCKS and (not locked or named_tool in locked):
        return named_tool
    if locked:
        return locked[0]
    if project.has(PNPM_SETTINGS) or "pnpm" in manifest.engines or manifest.file != MANIFEST:
        return "pnpm"
    is_for_bun = "bun" in needed or "bun" in manifest.engines or manifest.uses("@types/bun", "bun-types")
    return "bun" if is_for_bun else "npm"


def has_hooks(manifest: Manifest) -> bool:
    return any(hook in manifest.scripts for hook in _HOOKS)


def tool_package(project: Project, manifest: Manifest, tool: str) -> str:
    """Return the package of a tool that only scripts call, with its version."""
    requested = tool_version(project, manifest, tool)
    usual = {"yarn": _YARN_CLASSIC, "pnpm": _PNPM_OF_SETTINGS, "bun": _BUN}
    version = requested.requirement.text if requested else usual[tool]
    return f"{_package_of_yarn(version) if tool == 'yarn' else tool}@{version}"


def _npm(project: Project, manifest: Manifest) -> NodeInstall:
    lock = project.first(NPM_LOCKS)
    if lock is None:
        reason = "There is no lock file: npm installs the newest packages that fit. Commit package-lock.json."
        command = "npm install --no-package-lock"
    elif _is_out_of_step(project, manifest, lock):
        reason = (
            f"`{lock}` is out of step with `{MANIFEST}`, so npm install brings it up to date. Commit it anew."
        )
        command = "npm install"
    else:
        reason, command = _reason("npm ci", lock, ""), "npm ci"
    version = manifest.managed_by("npm") or ""
    return NodeInstall(
        "npm",
        version,
        reason,
        f"{command} --include=dev {_CLEAN_NPM}",
        f"{command} --omit=dev {_CLEAN_NPM}",
        _files(project, manifest, lock),
        (f"npm@{version}",) if version else (),
        prune="npm prune --omit=dev",
    )


def _is_out_of_step(project: Project, manifest: Manifest, lock: str) -> bool:
    """True when the lock file lists other dependencies than package.json, which `npm ci` refuses."""
    try:
        root = json.loads(project.text(lock) or "")["packages"][""]
        keys = ("optionalDependencies", "dependencies", "devDependencies")
        locked = {name: version for key in keys for name, version in root.get(key, {}).items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False  # npm's own error is clearer, and old lock files don't list them
    return locked != {**manifest.dependencies, **manifest.development}


def _pnpm(project: Project, manifest: Manifest) -> NodeInstall:
    requested = tool_version(project, manifest, "pnpm")
    version = requested.requirement.text if requested else _pnpm_by_files(project, manifest)
    lock = project.first((PNPM_LOCK,))
    install = f"pnpm install {'--frozen-lockfile' if lock else '--no-frozen-lockfile'} --prod"
    return NodeInstall(
        "pnpm",
        version,
        _reason(f"pnpm {version}", lock, f"`{PNPM_LOCK}`"),
        f"{install}=false {_CLEAN}",
        f"{install} {_CLEAN}",
        _files(project, manifest, lock),
        (f"pnpm@{version}",),
        # Variables, because builds may add packages; pnpm 11 reads the second name.
        (f"npm_config_store_dir={CACHE}", f"pnpm_config_store_dir={CACHE}"),
    )


def _pnpm_by_files(project: Project, manifest: Manifest) -> str:
    """Return the pnpm for a lock file: 9 and 10 write the same format, but only 10 reads the workspace's settings."""
    lines = (project.text(PNPM_SETTINGS) or "").splitlines()
    settings = {match[1] for line in lines if (match := _SETTING.match(line))}
    lock_version = _value((project.text(PNPM_LOCK) or "").splitlines()[:_FIRST_LINES], "lockfileVersion:")
    if lock_version == "9.0" and (settings - _PNPM_9_SETTINGS or manifest.has_own_build_list):
        return _PNPM_OF_SETTINGS
    return _PNPM_OF_LOCK.get(lock_version, _PNPM_OF_SETTINGS)


def _yarn(project: Project, manifest: Manifest) -> NodeInstall:
    requested = tool_version(project, manifest, "yarn")
    version = requested.requirement.text if requested else _yarn_by_files(project)
    lock = project.first((YARN_LOCK,))
    reason = _reason(f"yarn {version}", lock, f"`{YARN_LOCK}`")
    files = _files(project, manifest, lock)
    if version.lstrip("^~>=v ").startswith("1"):
        # As with npm and pnpm, a package's requirement on the version of Node is only a warning.
        options = (
            f"{'--frozen-lockfile ' if lock else ''}--ignore-engines --cache-folder {CACHE} --production"
        )
        install, lean = (f"yarn install {options}{value} {_CLEAN}" for value in ("=false", ""))
        return NodeInstall("yarn", version, reason, install, lean, files, (f"yarn@{version}",))
    install = f"yarn install {'--immutable' if lock else '--no-immutable'} {_CLEAN}"
    tools = (f"{_package_of_yarn(version)}@{version}",)
    # Plug'n'Play, yarn's default, needs yarn around every command; a node_modules folder does not.
    environment = (
        "YARN_NODE_LINKER=node-modules",
        f"YARN_GLOBAL_FOLDER={CACHE}",
        "YARN_ENABLE_GLOBAL_CACHE=true",
        "YARN_ENABLE_TELEMETRY=false",
        # The release file that the settings name may be missing; the installed yarn has the same version.
        "YARN_IGNORE_PATH=1",
    )
    return NodeInstall("yarn", version, reason, install, install, files, tools, environment)


def _package_of_yarn(version: str) -> str:
    """Return the npm package of a version of yarn: `yarn` for 1 and 2, `@yarnpkg/cli-dist` for newer ones."""
    return "yarn" if version.startswith(("1", "2")) else "@yarnpkg/cli-dist"


def _yarn_by_files(project: Project) -> str:
    """Return the yarn of `yarnPath: .yarn/releases/yarn-3.8.7.cjs`, else the one that writes such a lock file."""
    release = basename(_value((project.text(YARN_SETTINGS) or "").splitlines(), "yarnPath:"))
    if match := re.fullmatch(r"yarn-(\d{1,3}\.\d{1,3}\.\d{1,3})\.c?js", release):
        return match[1]
    lines = (project.text(YARN_LOCK) or "").splitlines()[:_FIRST_LINES]
    if "__metadata:" in lines:
        return _YARN_OF_LOCK.get(_value(lines, "  version:"), _YARN_NEWEST)
    return _YARN_NEWEST if project.has(YARN_SETTINGS) else _YARN_CLASSIC


def _bun(project: Project, manifest: Manifest) -> NodeInstall:
    requested = tool_version(project, manifest, "bun")
    version = requested.requirement.text if requested else _BUN
    lock = project.first(BUN_LOCKS)
    # A newer bun writes the same lock in another format, which `--frozen-lockfile` refuses as a change.
    commands = (
        f"{{ bun install --frozen-lockfile{omit} || bun install{omit}; }}" if lock else f"bun install{omit}"
        for omit in ("", " --omit=dev")
    )
    install, lean = (f"{command} {_CLEAN}" for command in commands)
    reason = _reason("bun", lock, "bun.lock")
    files, settings = _files(project, manifest, lock), (f"BUN_INSTALL_CACHE_DIR={CACHE}",)
    return NodeInstall("bun", version, reason, install, lean, files, (f"bun@{version}",), settings)


def _reason(tool: str, lock: str | None, usual_lock: str) -> str:
    if lock:
        return f"`{lock}` pins the packages; {tool} installs them."
    return f"{tool} installs the newest packages that fit. Commit {usual_lock} to pin them."


def _value(lines: Iterable[str], key: str) -> str:
    """Return the value of the first line that begins with `key`, without quotes; empty without such a line."""
    return next((line.removeprefix(key).strip().strip("'\"") for line in lines if line.startswith(key)), "")


def _files(project: Project, manifest: Manifest, lock: str | None) -> tuple[str, ...]:
    """Return the files to copy before the installation; none if it may read any file of the project."""
    is_local = bool(manifest.workspaces) or project.has(PNPM_SETTINGS) or manifest.has_local_packages
    has_parts = any(path.startswith((".yarn/", "patches/")) for path in project.files)
    if is_local or has_parts or has_hooks(manifest):
        return ()
    return tuple(name for name in (manifest.file, lock, *SETTINGS) if name and project.has(name))


def global_install(packages: tuple[str, ...]) -> str:
    return f"npm install --global --force {' '.join(map(shlex.quote, packages))} {_CLEAN_NPM}"
