"""Failures of package managers: lock files that don't fit, unsupported versions, dependencies from git."""

from __future__ import annotations

from stackyn_server.diagnosis.failure_kind import FailedStep, FailureKind


def _lock(
    manager: str, patterns: str | tuple[str, ...], lock: str, command: str, also: str | None = None
) -> FailureKind:
    return FailureKind(
        f"{manager}: lock out of step",
        patterns,
        f"{lock} is out of step with the project's dependencies, so {manager} refuses to install from it.",
        f"Run `{command}` on your machine, and commit the changed {lock}.",
        before=1,
        after=3,
        also=also,
        step=FailedStep.BUILD,
    )


_LOCKS = (
    _lock(
        "npm",
        r"npm error `npm ci` can only install packages when your package\.json",
        "package-lock.json",
        "npm install",
        also=r"npm error (?:Missing|Invalid): ",
    ),
    _lock(
        "yarn",
        (
            r"error Your lockfile needs to be updated, but yarn was run with `--frozen-lockfile`",
            r"YN0028: .{0,20}The lockfile would have been (?:modified|created) by this install",
        ),
        "yarn.lock",
        "yarn install",
        also=r"YN0028: ",
    ),
    _lock(
        "pnpm",
        r"ERR_PNPM_(?:OUTDATED_LOCKFILE|LOCKFILE_BREAKING_CHANGE|LOCKFILE_CONFIG_MISMATCH)",
        "pnpm-lock.yaml",
        "pnpm install",
        also=r"^\* [0-9]+ dependencies|^  specifiers in the lockfile",
    ),
    _lock("bun", r"error: lockfile had changes, but lockfile is frozen", "bun.lock", "bun install"),
    _lock(
        "Poetry",
        r"pyproject\.toml changed significantly since poetry\.lock was last generated",
        "poetry.lock",
        "poetry lock",
    ),
    _lock("uv", r"The lockfile at `uv\.lock` needs to be updated", "uv.lock", "uv lock"),
    _lock("Pipenv", r"^Your Pipfile\.lock\b", "Pipfile.lock", "pipenv lock"),
    _lock(
        "Bundler",
        r"You are trying to install in deployment mode after changing|The (?:gemspecs|"
        r"dependencies in your gemfile|list of sources).{0,40}changed|"
        r"(?:gemfile\.lock|lockfile).{0,60}(?:frozen|can't be updated)|because bundler is frozen|"
        r"frozen mode is set",
        "Gemfile.lock",
        "bundle install",
        also=r"^\* [a-z]|You have (?:added|deleted|changed)",
    ),
    _lock(
        "Cargo",
        r"the lock file .{1,200} needs to be updated but --(?:locked|frozen) was passed|"
        r"cannot update the lock file .{1,200} because --(?:locked|frozen) was passed",
        "Cargo.lock",
        "cargo generate-lockfile",
    ),
    _lock(
        "Go",
        r"missing go\.sum entry|go: updates to go\.mod needed|"
        r"no required module provides package \S+; to add it",
        "go.sum",
        "go mod tidy",
    ),
    _lock("Go's vendoring", r"go: inconsistent vendoring in ", "vendor/modules.txt", "go mod vendor"),
    _lock(
        "Composer",
        r"is not present in the lock file|is in the lock file as .{0,80} but that does not satisfy your constraint",
        "composer.lock",
        "composer update --lock",
    ),
    FailureKind(
        "npm: no lock",
        r"npm error The `npm ci` command can only install with an existing package-lock\.json",
        "npm ci needs a package-lock.json, and there is none.",
        "Run `npm install` and commit package-lock.json; check that .gitignore and .dockerignore don't leave it out.",
        after=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Bundler: platform missing in the lock",
        r"Your bundle only supports platforms (?P<platforms>.{1,80}) but your local platform",
        "Gemfile.lock is for {platforms} only, and this server is another platform.",
        "Run `bundle lock --add-platform x86_64-linux`, and commit Gemfile.lock.",
        after=1,
        step=FailedStep.BUILD,
    ),
)

_VERSIONS = (
    FailureKind(
        "unsupported Node version",
        (
            r"npm error notsup Required: .{0,60}\"node\":\"(?P<needed>[^\"]+)\"",
            r"The engine \"node\" is incompatible with this module\. Expected version "
            r"\"(?P<needed>[^\"]+)\"",
            r"^Expected version: (?P<needed>.{1,60})",
        ),
        "A package needs another version of Node ({needed}) than the build has.",
        "Name the version in engines.node of package.json or in .nvmrc, or change the package.",
        before=4,
        after=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "package manager of another version",
        r"This project's package\.json defines \"packageManager\": \"(?P<wanted>[^\"]+)\"|"
        r"This project is configured to use (?P<tool>\w+) because",
        "The project names another package manager in package.json than the one that installs it.",
        "Have packageManager in package.json name the manager and version whose lock is committed.",
        after=3,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "unsupported Python version",
        (
            r"requires a different Python: (?P<present>\S+) not in '(?P<needed>[^']+)'",
            r"Current Python version \((?P<present>[^)]+)\) is not allowed by the project "
            r"\((?P<needed>[^)]+)\)",
            r"is incompatible with the project's Python requirement: `(?P<needed>[^`]+)`",
            r"No interpreter found for Python (?P<needed>\S+)",
            r"Python (?P<needed>\S+) was not found on your system",
        ),
        "A package needs another version of Python ({needed}) than the build has.",
        "Name the version in requires-python or .python-version, or choose a version of the package that fits.",
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "no version for this Python",
        r"ERROR: Ignored the following versions that require a different python version: ",
        "A version of a package that is asked for is there for another Python only, or not at all.",
        "Name the Python that it needs in .python-version or requires-python, or choose a version that fits this one.",
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "unsupported Go version",
        r"go(?:\.mod|\.work)? requires go >= (?P<needed>\S+) \(running go (?P<present>[^;)]+)",
        "The code needs Go {needed}, and the build has {present}.",
        "Name the version in the go line of go.mod, or use an image that has it.",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "unsupported Rust version",
        (
            r"rustc (?P<present>\S+) is not supported by the following package",
            r"requires rustc (?P<needed>\S+) or newer",
            r"this version of Cargo is older than the `(?P<needed>\d+)` edition",
        ),
        "A crate needs a newer version of Rust than the build has.",
        "Name the version in rust-toolchain.toml, or choose a version of the crate that fits.",
        before=1,
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "unsupported PHP version",
        r"requires php (?P<needed>\S+) but your php version \((?P<present>[^;)]+)",
        "The project needs PHP {needed}, and the build has {present}.",
        "Name a version that is there under require.php in composer.json, or change the package that asks for it.",
        before=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "unsupported Ruby version",
        r"Your Ruby version is (?P<present>[^,]+), but your Gemfile specified (?P<needed>\S+)",
        "The Gemfile needs Ruby {needed}, and the build has {present}.",
        "Name a version that is there in the Gemfile and .ruby-version.",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "unsupported Java release",
        r"error: (?:release version|invalid (?:source|target) release:?) (?P<needed>\d+)",
        "The project is compiled for Java {needed}, and the build's JDK is older.",
        "Name a version that is there in maven.compiler.release (or the toolchain of Gradle) and .java-version.",
        step=FailedStep.BUILD,
    ),
)

# Tools then try ssh and report that failure, or report that their copy can't be built.
_HOST = FailureKind(
    "host of a dependency's code out of reach",
    (
        r"unable to access 'https?://[^']{1,300}': (?:Could not resolve host|Failed to connect|Connection t)",
        r"Failed to download \S+ from dist: .{0,200}curl error (?:6|7|28|35) while downloading ",
    ),
    "The host that a dependency's code comes from did not answer.",
    "Deploy again in some minutes. If it stays, check the address below: builds reach public addresses only. A "
    "dependency that is vendored, or comes from a package registry, does not need that host.",
    before=1,
    after=1,
    step=FailedStep.BUILD,
)

_GIT = (
    FailureKind(
        "git dependency over ssh",
        (
            r"ssh://git@(?P<host>[\w.-]+)",
            r"git@(?P<host>[\w.-]+): Permission denied \(publickey\)",
            r"ssh: (?:connect to host (?P<host>[\w.-]+)|Could not resolve hostname (?P<other>[\w.-]+))",
            r"cannot run ssh: No such file|error: cannot run ssh",
            r"Host key verification failed",
        ),
        "A dependency comes from a git repository over ssh, and builds have no ssh key.",
        "Have it come over https (https://… instead of ssh://git@…) or from a package registry.",
        before=3,
        after=3,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "git missing in the build",
        r"npm error path git$|Cannot find command 'git'|exec: \"git\": executable file not found|"
        r"sh: \d+: git: not found",
        "A dependency comes from a git repository, and the build has no git.",
        "Have it come from a package registry, or install git in a Dockerfile of your own.",
        before=3,
        after=2,
        step=FailedStep.BUILD,
    ),
)

_SYSTEM = (
    FailureKind(
        "pip refused by the system's Python",
        r"^error: externally-managed-environment",
        "pip refuses to install into the Python of Debian or Ubuntu, which is the system's own.",
        "In your Dockerfile, install into an environment (`RUN python3 -m venv /venv`, then "
        "`ENV PATH=/venv/bin:$PATH`), or begin with an image of Python (`FROM python:3-slim`).",
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "package of the system unknown",
        (
            r"E: Unable to locate package (?P<name>\S+)",
            r"E: Package '(?P<name>[^']+)' has no installation candidate",
        ),
        "Debian or Ubuntu has no package {name} in the release of this image.",
        "Correct its name (packages.debian.org knows them by release), and have `apt-get update` run in the same step "
        "of the Dockerfile.",
        before=1,
        step=FailedStep.BUILD,
    ),
)

KINDS: tuple[FailureKind, ...] = (_HOST, *_LOCKS, *_VERSIONS, *_GIT, *_SYSTEM)
