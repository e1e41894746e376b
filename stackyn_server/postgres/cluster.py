"""The folders of the embedded database, its operating-system user and its sign-in rules. All functions block.

<data_dir>/postgres/          root's, searchable
    pginstall18-<version>/    the programs, when they were copied
    access/                   who may sign in: out of reach of the database's own user
    data/                     the cluster; 0700, the database's user
    run/                      the unix socket; 0700, the database's user
    lock                      held by every process of a running PostgreSQL
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from stackyn_server.postgres.binaries import Binaries, EmbeddedFailed

ROLE = DATABASE = "stackyn"
SYSTEM_USER = "stackyn-postgres"
_USERADD_LOCK = Path("/run/stackyn-postgres-user.lock")  # only root runs useradd
_PORT_FILE = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 107  # sun_path without its final NUL
_PRIVATE = 0o700
_SEARCHABLE = 0o711
_NOBODY = -1


@dataclass(frozen=True, slots=True)
class SystemUser:
    """The operating-system user that runs PostgreSQL."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ClusterPaths:
    root: Path
    data: Path
    access: Path
    socket: Path
    lock: Path

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self.socket), safe='/')}"


def paths_of(data_dir: Path) -> ClusterPaths:
    root = data_dir.absolute() / "postgres"
    return ClusterPaths(root, root / "data", root / "access", _socket_folder(root), root / "lock")


def _socket_folder(root: Path) -> Path:
    """`run`, or a short folder derived from its path when a socket's address could not hold it."""
    folder = root / "run"
    if len(os.fsencode(folder / _PORT_FILE)) <= _SOCKET_PATH_BYTES:
        return folder
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    runtime = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))
    return runtime / f"stackyn-{digest}"


def user_of(paths: ClusterPaths) -> SystemUser:
    """Return the user that runs PostgreSQL: our own, or as root one that owns nothing else and is made on first use.

    As root, the owner of an existing cluster: an operator may run a command of a server that has its own user.
    """
    uid = os.geteuid()
    if uid == 0 and paths.data.exists():
        uid = paths.data.stat().st_uid
    entry = _entry_of_uid(uid) if uid != 0 else _entry(SYSTEM_USER) or _made_user()
    return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _useradd() -> str | None:
    return shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")


def _entry_of_uid(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedFailed(
            f"The user with number {uid} has no name on this machine, and PostgreSQL needs one.",
            hint="Run the server as a user of /etc/passwd, or set [database] url.",
        ) from None


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _made_user() -> pwd.struct_passwd:
    """Make the user, one process at a time: of two `useradd` at once, the second gives the user another number."""
    useradd = _useradd()
    command = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    with _USERADD_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if useradd is not None and _entry(SYSTEM_USER) is None:
            subprocess.run(
                [useradd, *command, "--shell", "/usr/sbin/nologin", SYSTEM_USER],
                capture_output=True,
                check=False,
            )
        if entry := _entry(SYSTEM_USER):
            return entry
    raise _no_user()


def _no_user() -> EmbeddedFailed:
    return EmbeddedFailed(
        f"The system user {SYSTEM_USER}, which runs the embedded database, can't be made.",
        hint=f"Make it yourself (useradd --system {SYSTEM_USER}), or set [database] url.",
    )


def check_startable(paths: ClusterPaths, binaries: Binaries) -> None:
    """Raise `EmbeddedFailed` for what would make `prepare` and the start fail. Changes nothing."""
    if (paths.data / "PG_VERSION").exists():
        check_major(paths, binaries)
    if os.geteuid() == 0:
        user = _entry(SYSTEM_USER)
        if user is None and _useradd() is None:
            raise _no_user()
        _check_reachable(paths.root.parent, SYSTEM_USER, user.pw_uid if user else _NOBODY)


def prepare(paths: ClusterPaths, user: SystemUser) -> None:
    """Make the folders and the sign-in rules."""
    paths.root.parent.mkdir(parents=True, exist_ok=True)
    paths.root.mkdir(exist_ok=True)
    if os.geteuid() != user.uid:
        for folder in (paths.root.parent, paths.root):
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | _SEARCHABLE)
        _check_reachable(paths.root.parent, user.name, user.uid)
    paths.access.mkdir(exist_ok=True)
    paths.access.chmod(0o755)
    users = dict.fromkeys((_entry_of_uid(os.geteuid()).pw_name, "root"))
    _write(paths.access / "hba.conf", f"local all {ROLE} peer map=stackyn\n")
    _write(paths.access / "ident.conf", "".join(f'stackyn "{user}" {ROLE}\n' for user in users))
    _make_private(paths.socket, user)


def _check_reachable(data_dir: Path, user: str, uid: int) -> None:
    for folder in data_dir.parents:
        if not folder.exists():
            continue
        status = folder.stat()
        if not status.st_mode & stat.S_IXOTH and status.st_uid != uid:
            raise EmbeddedFailed(
                f"The user {user}, which runs the embedded database, can't reach the data directory: "
                f"{folder} is closed to it.",
                hint=f"Choose another [server] data_dir, or run: chmod o+x {folder}",
            )


def _make_private(folder: Path, user: SystemUser) -> None:
    """Make `folder` for the database's user alone. Raises `EmbeddedFailed` when it belongs to somebody else."""
    try:
        folder.mkdir(mode=_PRIVATE)
        os.chown(folder, user.uid, user.gid)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (user.uid, os.geteuid()):
            raise EmbeddedFailed(f"{folder} belongs to somebody else.", hint="Remove it.") from None
        os.chown(folder, user.uid, user.gid, follow_symlinks=False)
        folder.chmod(_PRIVATE)


def _write(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).chmod(0o644)
    Path(file.name).rename(path)


def check_major(paths: ClusterPaths, binaries: Binaries) -> None:
    """Raise `EmbeddedFailed` when the cluster was made by another major version than the programs'."""
    made_by = (paths.data / "PG_VERSION").read_text("ascii").strip()
    if made_by != str(binaries.major):
        raise EmbeddedFailed(
            f"The database was made by PostgreSQL {made_by}, and the programs here are PostgreSQL {binaries.major}.",
            hint=f"Set [database] binaries to a PostgreSQL {made_by}, or dump and restore the database.",
        )


def begin_cluster(paths: ClusterPaths, user: SystemUser) -> Path:
    """Return an empty folder for initdb beside the real one, so that an interrupted initdb leaves nothing."""
    fresh = paths.root / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    _make_private(fresh, user)
    return fresh


def clear_stale_locks(paths: ClusterPaths) -> None:
    """Remove the pid files of a killed PostgreSQL. The caller holds `lock`, so none runs here; but after a reboot or in
    a new container another process may have the old pid, and PostgreSQL would wait for it."""
    for path in (
        paths.data / "postmaster.pid",
        paths.socket / f"{_PORT_FILE}.lock",
        paths.socket / _PORT_FILE,
    ):
        path.unlink(missing_ok=True)
