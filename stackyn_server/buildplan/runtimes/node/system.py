"""The Debian packages that a Node project's packages need to be compiled and to run."""

from __future__ import annotations

from collections.abc import Iterable

from stackyn_server.buildplan.generated.instructions import SystemPackages
from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.node.manifest import Manifest
from stackyn_server.buildplan.runtimes.node.packages import TEXT_LOCKS

_COMPILER = ("build-essential", "python3")
# Packages in C or C++ that don't have compiled files for every version of Node.
_COMPILED = (
    "argon2", "bcrypt", "better-sqlite3", "bufferutil", "couchbase", "cpu-features", "deasync", "farmhash", "ffi-napi",
    "heapdump", "iconv", "isolated-vm", "kerberos", "leveldown", "lmdb", "microtime", "msgpackr-extract", "node-expat",
    "node-pty", "node-rdkafka", "node-sass", "nodegit", "oracledb", "pg-native", "re2", "serialport", "snappy",
    "sodium-native", "sqlite3", "sse4_crc32", "tree-sitter", "usb", "utf-8-validate", "zeromq",
)  # fmt: skip
# Compiled packages that need a library: its headers to build, and the library to run.
_LIBRARIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "canvas": (
        ("libcairo2-dev", "libpango1.0-dev", "libjpeg-dev", "libgif-dev", "librsvg2-dev", "pkg-config"),
        ("libcairo2", "libpango-1.0-0", "libpangocairo-1.0-0", "libjpeg62-turbo", "libgif7", "librsvg2-2"),
    ),
    "pg-native": (("libpq-dev",), ("libpq5",)),
    "kerberos": (("libkrb5-dev",), ("libgssapi-krb5-2",)),
}
# Packages that need more to run than a Node image has.
_RUN_ONLY = {"prisma": ("openssl",), "@prisma/client": ("openssl",), "fluent-ffmpeg": ("ffmpeg",)}
# Browsers and shells for tests: hundreds of megabytes, and they don't start without a desktop's libraries.
_DOWNLOADS = {
    "puppeteer": "PUPPETEER_SKIP_DOWNLOAD=1", "cypress": "CYPRESS_INSTALL_BINARY=0",
    "playwright": "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1", "electron": "ELECTRON_SKIP_BINARY_DOWNLOAD=1",
}  # fmt: skip


def system_packages(project: Project, names: Iterable[str], *, uses_git: bool) -> SystemPackages:
    """Return the Debian packages that the packages of these names and of the lock file need."""
    dependencies = set(names)
    lock = next((text for path in TEXT_LOCKS if (text := project.text(path))), "")
    all_compiled = sorted({*_COMPILED, *_LIBRARIES})
    compiled = [name for name in all_compiled if name in dependencies or _is_locked(lock, name)]
    build = [*_COMPILER] if compiled else []
    build += ["git", "ca-certificates"] if uses_git or "git+" in lock else []
    run: list[str] = []
    for name in compiled:
        headers, libraries = _LIBRARIES.get(name, ((), ()))
        build += headers
        run += libraries
    run_only = [name for name in _RUN_ONLY if name in dependencies]
    for name in run_only:
        build += _RUN_ONLY[name]
        run += _RUN_ONLY[name]
    return SystemPackages.of(build, run, [*compiled, *run_only], bool(compiled))


def downloads_left_out(manifests: Iterable[Manifest]) -> dict[str, str]:
    """Return the development packages that download a program, each with the setting that stops the download."""
    manifests = tuple(manifests)
    return {
        name: setting
        for name, setting in _DOWNLOADS.items()
        if any(name in manifest.development for manifest in manifests)
        and not any(name in manifest.dependencies for manifest in manifests)
    }


def _is_locked(lock: str, name: str) -> bool:
    """True when a lock file of any tool has a package of that name."""
    marks = (f'node_modules/{name}"', f"/{name}@", f'"{name}@', f"\n{name}@", f"  {name}@")
    return name in lock and any(mark in lock for mark in marks)
