"""Chooses how a Node project's packages are installed: by the tool that it names, or whose lock file it has."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from posixpath import basename

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST, Manifest, tool_version

NPM_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
YARN_LOCK, PNPM_LOCK = "yarn.lock", "pnpm-lock.yaml"
BUN_LOCKS = ("bun.lock", "bun.lockb")
LOCKS = {"pnpm": (PNPM_LOCK,), "bun": BUN_LOCKS, "yarn": (YARN_LOCK,), "npm": NPM_LOCKS}
YARN_SETTINGS, PNPM_SETTINGS = ".yarnrc.yml", "pnpm-workspace.yaml"
SETTINGS = (".npmrc", ".yarnrc", YARN_SETTINGS, PNPM_SETTINGS, "bunfig.toml")
# Scripts that npm runs by itself while it installs; they may need any file, and often a development package.
_HOOKS = ("preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare")
# The release of a tool that writes each version of its lock file: the last one, where there will be no other.
_PNPM_OF_LOCK = {"5.3": "6.35.1", "5.4": "7.33.7", "6.0": "8.15.9", "6.1": "8.15.9", "9.0": "9.15.9"}
_PNPM_OF_SETTINGS = "10"
_YARN_OF_LOCK = {"4": "2.4.3", "5": "3.8.7", "6": "3.8.7", "7": "3.8.7", "8": "4"}
_YARN_CLASSIC, _YARN_NEWEST = "1.22.22", "4"
# The keys of pnpm-workspace.yaml that pnpm 9 knows; any other key is for a newer pnpm.
_PNPM_9_SETTINGS = frozenset(("packages", "catalog", "catalogs"))
_SETTING = re.compile(r"([A-Za-z]{1,60}):")
CACHE = "/tmp/packages"
_FIRST_LINES = 12


@dataclass(frozen=True, slots=True)
class NodeInstall:
    """`install` installs all packages, `lean` only those that the app needs to run.

    `files` are copied before; all if empty. `prune` removes the development packages later, empty if the tool has no
    safe command for it. `run` runs a script of package.json, `execute` a program of a package. `tools` are packages to
    install globally first, `environment` their settings. `agent` is the tool's user agent for the scripts that it runs.
    """

    tool: str
    reason: str
    install: str
    lean: str
    run: str
    execute: str
    files: tuple[str, ...]
    prune: str = ""
    tools: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    agent: str = ""


def plan_installation(
    project: Project, manifest: Manifest, needed: frozenset[str] = frozenset()
) -> NodeInstall:
    """Choose the tool by `packageManager` or the lock file, in the version that the project requests.

    `needed` are tools that scripts call by name. bun is chosen if it is among them or its types are used, and the
    project names no other tool.
    """
    match chosen_tool(project, manifest, needed):
        case "pnpm":
            return _pnpm(project, manifest)
        case "yarn":
            return _yarn(project, manifest)
        case "bun":
            return _bun(project, manifest)
        case _:
            return _npm(project, manifest)


def chosen_tool(project: Project, manifest: Manifest, needed: frozenset[str]) -> str:
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


def needs_whole_project(project: Project, manifest: Manifest) -> bool:
    """True when installing may read any file of the project, so that all files are copied before."""
    local = bool(manifest.workspaces) or project.has(PNPM_SETTINGS) or manifest.has_local_packages
    return (
        local or has_hooks(manifest) or any(path.startswith((".yarn/", "patches/")) for path in project.files)
    )


def has_hooks(manifest: Manifest) -> bool:
    return any(hook in manifest.scripts for hook in _HOOKS)


def tool_package(project: Project, manifest: Manifest, tool: str) -> str:
    """Return the package of a tool that only scripts call, with its version."""
    requested = tool_version(project, manifest, tool)
    version = (
        requested.requirement.text
        if requested
        else {"yarn": _YARN_CLASSIC, "pnpm": _PNPM_OF_SETTINGS, "bun": "1"}[tool]
    )
    return f"{_package_of_yarn(version) if tool == 'yarn' else tool}@{version}"


def _npm(project: Project, manifest: Manifest) -> NodeInstall:
    lock = project.first(NPM_LOCKS)
    clean = "&& npm cache clean --force"
    if lock is None:
        reason = "There is no lock file: npm installs the newest packages that fit. Commit package-lock.json."
        command = "npm install --no-package-lock"
    elif _is_out_of_step(project, manifest, lock):
        reason = (
            f"`{lock}` is out of step with `{MANIFEST}`, so npm install brings it up to date. Commit it anew."
        )
        command = "npm install"
    else:
        reason = f"`{lock}` pins the packages; npm ci installs them."
        command = "npm ci"
    version = manifest.managed_by("npm")
    return NodeInstall(
        "npm",
        reason,
        f"{command} --include=dev {clean}",
        f"{command} --omit=dev {clean}",
        "npm run",
        "npx",
        _files(project, manifest, (lock,) if lock else ()),
        prune="npm prune --omit=dev",
        tools=(f"npm@{version}",) if version else (),
        agent=f"npm/{version}" if version else "",
    )


def _is_out_of_step(project: Project, manifest: Manifest, lock: str) -> bool:
    """True when the lock file lists other dependencies than package.json, which `npm ci` refuses."""
    try:
        root = json.loads(project.text(lock) or "")["packages"][""]
        locked = {
            **root.get("optionalDependencies", {}),
            **root.get("dependencies", {}),
            **root.get("devDependencies", {}),
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False  # npm's own error is clearer, and old lock files don't list them
    return locked != {**manifest.dependencies, **manifest.development}


def _pnpm(project: Project, manifest: Manifest) -> NodeInstall:
    requested = tool_version(project, manifest, "pnpm")
    version = requested.requirement.text if requested else _pnpm_by_files(project, manifest)
    frozen = "--frozen-lockfile" if project.has(PNPM_LOCK) else "--no-frozen-lockfile"
    install = f"pnpm install {frozen}"
    clean = f"&& rm -rf {CACHE}"
    return NodeInstall(
        "pnpm",
        f"`{PNPM_LOCK}` pins the packages; pnpm {version} installs them."
        if project.has(PNPM_LOCK)
        else f"pnpm {version} installs the newest packages that fit. Commit `{PNPM_LOCK}` to pin them.",
        f"{install} --prod=false {clean}",
        f"{install} --prod {clean}",
        "pnpm run",
        "pnpm exec",
        _files(project, manifest, (PNPM_LOCK,)),
        tools=(f"pnpm@{version}",),
        # Variables, because builds may add packages; pnpm 11 reads the second name.
        environment=(f"npm_config_store_dir={CACHE}", f"pnpm_config_store_dir={CACHE}"),
        agent=f"pnpm/{version}",
    )


def _pnpm_by_files(project: Project, manifest: Manifest) -> str:
    """Return the pnpm for a lock file: 9 and 10 write the same format, but only 10 reads the workspace's settings."""
    settings = {
        match.group(1)
        for line in (project.text(PNPM_SETTINGS) or "").splitlines()
        if (match := _SETTING.match(line))
    }
    for line in (project.text(PNPM_LOCK) or "").splitlines()[:_FIRST_LINES]:
        if line.startswith("lockfileVersion:"):
            lock_version = line.partition(":")[2].strip().strip("'\"")
            if lock_version == "9.0" and (settings - _PNPM_9_SETTINGS or manifest.has_own_build_list):
                return _PNPM_OF_SETTINGS
            return _PNPM_OF_LOCK.get(lock_version, _PNPM_OF_SETTINGS)
    return _PNPM_OF_SETTINGS


def _yarn(project: Project, manifest: Manifest) -> NodeInstall:
    requested = tool_version(project, manifest, "yarn")
    release = _yarn_release(project)
    locked = _yarn_by_lock(project)
    version = requested.requirement.text if requested else release or locked
    files = _files(project, manifest, (YARN_LOCK,))
    has_lock = project.has(YARN_LOCK)
    reason = f"`{YARN_LOCK}` pins the packages; yarn {version} installs them."
    if not has_lock:
        reason = f"yarn {version} installs the newest packages that fit. Commit `{YARN_LOCK}` to pin them."
    agent = f"yarn/{version}"
    if not version.lstrip("^~>=v ").startswith("1"):
        install = f"yarn install {'--immutable' if has_lock else '--no-immutable'}"
        return NodeInstall(
            "yarn",
            reason,
            f"{install} && rm -rf {CACHE}",
            f"{install} && rm -rf {CACHE}",
            "yarn run",
            "yarn run",
            files,
            tools=(f"{_package_of_yarn(version)}@{version}",),
            # Plug'n'Play, yarn's default, needs yarn around every command; a node_modules folder does not.
            environment=(
                "YARN_NODE_LINKER=node-modules",
                f"YARN_GLOBAL_FOLDER={CACHE}",
                "YARN_ENABLE_GLOBAL_CACHE=true",
                "YARN_ENABLE_TELEMETRY=false",
                # The release file that the settings name may be missing; the installed yarn has the same version.
                "YARN_IGNORE_PATH=1",
            ),
            agent=agent,
        )
    # As with npm and pnpm, a package's requirement on the version of Node is only a warning.
    install = (
        f"yarn install{' --frozen-lockfile' if has_lock else ''} --ignore-engines --cache-folder {CACHE}"
    )
    return NodeInstall(
        "yarn",
        reason,
        f"{install} --production=false && rm -rf {CACHE}",
        f"{install} --production && rm -rf {CACHE}",
        "yarn run",
        "yarn run",
        files,
        tools=(f"yarn@{version}",),
        agent=agent,
    )


def _package_of_yarn(version: str) -> str:
    """Return the npm package of a version of yarn: `yarn` for 1 and 2, `@yarnpkg/cli-dist` for newer ones."""
    return "yarn" if version.startswith(("1", "2")) else "@yarnpkg/cli-dist"


def _yarn_release(project: Project) -> str:
    """Return the version of `yarnPath: .yarn/releases/yarn-3.8.7.cjs`."""
    for line in (project.text(YARN_SETTINGS) or "").splitlines():
        if line.startswith("yarnPath:"):
            name = basename(line.partition(":")[2].strip().strip("'\""))
            match = re.fullmatch(r"yarn-(\d{1,3}\.\d{1,3}\.\d{1,3})\.c?js", name)
            return match.group(1) if match else ""
    return ""


def _yarn_by_lock(project: Project) -> str:
    lines = (project.text(YARN_LOCK) or "").splitlines()[:_FIRST_LINES]
    if "__metadata:" in lines:
        lock_version = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("  version:")), ""
        )
        return _YARN_OF_LOCK.get(lock_version, _YARN_NEWEST)
    return _YARN_NEWEST if project.has(YARN_SETTINGS) else _YARN_CLASSIC


def _bun(project: Project, manifest: Manifest) -> NodeInstall:
    requested = tool_version(project, manifest, "bun")
    version = requested.requirement.text if requested else "1"
    lock = project.first(BUN_LOCKS)
    reason = (
        f"`{lock}` pins the packages; bun installs them."
        if lock
        else "bun installs the newest packages that fit. Commit bun.lock to pin them."
    )
    # A newer bun writes the same lock in another format, which `--frozen-lockfile` refuses as a change.
    frozen, lean = ("bun install --frozen-lockfile", "bun install --frozen-lockfile --omit=dev")
    install = f"{{ {frozen} || bun install; }}" if lock else "bun install"
    install_lean = f"{{ {lean} || bun install --omit=dev; }}" if lock else "bun install --omit=dev"
    return NodeInstall(
        "bun",
        reason,
        f"{install} && rm -rf {CACHE}",
        f"{install_lean} && rm -rf {CACHE}",
        "bun run",
        "bunx",
        _files(project, manifest, (lock,) if lock else ()),
        tools=(f"bun@{version}",),
        environment=(f"BUN_INSTALL_CACHE_DIR={CACHE}",),
        agent=f"bun/{version}",
    )


def _files(project: Project, manifest: Manifest, locks: tuple[str, ...]) -> tuple[str, ...]:
    if needs_whole_project(project, manifest):
        return ()
    return tuple(name for name in (manifest.file, *locks, *SETTINGS) if project.has(name))


def global_install(packages: tuple[str, ...]) -> str:
    return f"npm install --global --force {' '.join(map(shlex.quote, packages))} && npm cache clean --force"
