"""The embedded PostgreSQL: a supervised child on a unix socket, which ends whenever its server ends.

Every process of a running PostgreSQL inherits a lock on `<data_dir>/postgres/lock`. So the lock shows whether one runs
(ours, or a left-over that is shutting down), also across containers, where process ids don't help.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import structlog

from stackyn_server import config
from stackyn_server.errors import Unavailable
from stackyn_server.pause import Pause
from stackyn_server.postgres import binaries, cluster, launch
from stackyn_server.postgres.binaries import Binaries, EmbeddedFailed
from stackyn_server.postgres.cluster import ClusterPaths, SystemUser
from stackyn_server.store.database import Database

log = structlog.get_logger(__name__)

_READY = "database system is ready to accept connections"
_START_SECONDS = 120.0  # crash recovery of a small server's database takes seconds
_STOP_SECONDS = 20.0
_LEFT_OVER_SECONDS = 30.0
_LOCK_POLL_SECONDS = 0.02
_KEPT_LINES = 20

# For one small server: a few megabytes while idle.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "1",
    "jit": "off",
    "lc_messages": "C",
    "log_line_prefix": "",
    # A failing statement must not bring tenants' values into our log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}
_IO_WORKERS_SINCE = 18


def embedded_url(data_dir: Path) -> str:
    """Return the address of the embedded database of a data directory, running or not."""
    return cluster.paths_of(data_dir).url


def is_running(data_dir: Path) -> bool:
    """Return whether any process runs the embedded PostgreSQL of this data directory. Blocking, brief."""
    paths = cluster.paths_of(data_dir)
    if not paths.lock.exists():
        return False
    lock = _try_lock(paths.lock)
    if lock is not None:
        os.close(lock)
    return lock is None


class EmbeddedPostgres:
    """`start()` and `stop()` it, and run `keep_running()` beside it.

    `exited` is set while it doesn't run, `ready` while it accepts connections.

    `extra` adds PostgreSQL settings (tests turn `fsync` off), `pause` lies between two attempts to restart it. A start
    waits `left_over_seconds` for a left-over that shuts down. It must happen on a thread that lives as long as the
    process: the kernel's parent-death signal goes by the thread.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: config.DatabaseSettings,
        *,
        extra: Mapping[str, str] = MappingProxyType({}),
        pause: Pause | None = None,
        left_over_seconds: float = _LEFT_OVER_SECONDS,
    ) -> None:
        self._data_dir = data_dir
        self._settings = settings
        self._extra = extra
        self._pause = pause or Pause.of(config.JobsSettings())
        self._left_over_seconds = left_over_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()
        self._stopping = False
        self._spawning = asyncio.Lock()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.exited = asyncio.Event()
        self.exited.set()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self) -> str:
        """Start it and return its address once it accepts connections.

        Makes user, folders and cluster on first use. Raises `EmbeddedFailed` with a sentence for the operator.
        """
        self._stopping = False
        return await self._start()

    async def wait(self) -> int:
        """Wait until PostgreSQL has exited and return its exit code (negative: the signal)."""
        if self._process is None:
            raise RuntimeError("PostgreSQL was not started")
        return await self._process.wait()

    async def keep_running(self) -> None:
        """Start PostgreSQL again whenever it exits without `stop()`. Returns after `stop()`."""
        while True:
            code = await self.wait()
            if self._stopping:
                return
            log.error("postgres.exited", code=code, last_lines=list(self._lines))
            while not self._stopping:
                try:
                    await self._start()
                    self._pause.reset()
                    break
                except Unavailable as error:
                    log.error("postgres.restart_failed", reason=error.message)
                    await self._pause.wait()

    async def stop(self) -> None:
        """Shut down fast (open transactions are rolled back); harder when that takes too long."""
        self._stopping = True
        async with self._spawning:
            await self._end()

    async def _start(self) -> str:
        try:
            paths, user, programs = await asyncio.to_thread(self._prepare)
            lock = await _locked(paths.lock, self._left_over_seconds)
            try:
                await self._prepare_cluster(paths, user, programs)
                await self._spawn(paths, user, programs, lock)
            finally:
                os.close(lock)  # PostgreSQL's processes hold it from here on
        except OSError as error:
            raise EmbeddedFailed(
                f"The embedded database's files can't be used: {error.strerror}.",
                hint="Check that the disk has room and the data directory belongs to the server's user.",
            ) from error
        await self._until_ready()
        await self._create_database(paths)
        log.info("postgres.started", pid=self.pid, version=programs.major)
        return paths.url

    def _prepare(self) -> tuple[ClusterPaths, SystemUser, Binaries]:
        paths = cluster.paths_of(self._data_dir)
        user = cluster.user_of(paths)
        cluster.prepare(paths, user)
        return paths, user, binaries.provide(self._settings.binaries, paths.root)

    async def _prepare_cluster(self, paths: ClusterPaths, user: SystemUser, programs: Binaries) -> None:
        if await asyncio.to_thread((paths.data / "PG_VERSION").exists):
            await asyncio.to_thread(cluster.check_major, paths, programs)
            await asyncio.to_thread(cluster.clear_stale_locks, paths)
            return
        fresh = await asyncio.to_thread(cluster.begin_cluster, paths, user)
        command = [
            programs.program("initdb"),
            f"--pgdata={fresh}",
            f"--username={cluster.ROLE}",
            "--auth=peer",
        ]
        options = ["--data-checksums", "--no-locale", "--encoding=UTF8", "--no-instructions"]
        process = await _child(user, signal.SIGKILL, fresh, [*command, *options])
        output, _ = await process.communicate()
        if process.returncode != 0:
            log.error("postgres.initdb_failed", output=output.decode(errors="replace"))
            raise EmbeddedFailed(
                "The embedded database can't be created.", hint="The server's log has PostgreSQL's own words."
            )
        await asyncio.to_thread(fresh.rename, paths.data)

    async def _spawn(self, paths: ClusterPaths, user: SystemUser, programs: Binaries, lock: int) -> None:
        settings = {
            **_SETTINGS,
            "unix_socket_directories": str(paths.socket),
            "hba_file": str(paths.access / "hba.conf"),
            "ident_file": str(paths.access / "ident.conf"),
            **({"io_method": "sync"} if programs.major >= _IO_WORKERS_SINCE else {}),
            **self._extra,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [programs.program("postgres"), "-D", str(paths.data), *options]
        self._lines.clear()
        async with self._spawning:
            if self._stopping:
                raise EmbeddedFailed("The embedded database is being stopped.")
            self._process = await _child(user, signal.SIGINT, paths.data, command, keep=lock)
            self.exited.clear()
            self._reader = asyncio.create_task(self._read(self._process), name="postgres output")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Log the output of PostgreSQL until it exits, so that its pipe never fills up."""
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            if line.endswith(_READY):
                self.ready.set()
            level = line.partition(":")[0]
            (log.warning if level in ("ERROR", "FATAL", "PANIC", "WARNING") else log.debug)(
                "postgres.said", line=line
            )
        await process.wait()
        self.ready.clear()
        self.exited.set()

    async def _end(self) -> None:
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if process.returncode is not None:
                break
            process.send_signal(request)
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                log.warning("postgres.stop_slow", signal=request.name)
        await reader
        log.info("postgres.stopped", code=process.returncode)

    async def _until_ready(self) -> None:
        waits = {asyncio.create_task(event.wait()) for event in (self.ready, self.exited)}
        try:
            await asyncio.wait(waits, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not self.ready.is_set():
            await self._end()
            log.error("postgres.start_failed", last_lines=list(self._lines))
            raise EmbeddedFailed(
                "The embedded database doesn't start.", hint="The server's log has PostgreSQL's own words."
            )

    async def _create_database(self, paths: ClusterPaths) -> None:
        # Copying the template database to a slow disk takes longer than other statements may.
        slow_settings = self._settings.model_copy(
            update={"connect_seconds": _START_SECONDS, "statement_seconds": _START_SECONDS}
        )
        database = await Database.open(
            paths.url_of("postgres"), slow_settings, application_name="stackyn embedded"
        )
        try:
            async with database.connection() as connection:
                if not await connection.fetchval(
                    "SELECT true FROM pg_database WHERE datname = $1", cluster.DATABASE
                ):
                    await connection.execute(f'CREATE DATABASE "{cluster.DATABASE}"')
        finally:
            await database.close()


async def _child(
    user: SystemUser, death_signal: signal.Signals, folder: Path, command: list[str], keep: int | None = None
) -> asyncio.subprocess.Process:
    """Run a program as `user`, in a session of its own, so that Ctrl-C in a terminal does not end it."""
    launcher = [sys.executable, "-I", "-S", launch.__file__]
    identity = [user.uid, user.gid, int(death_signal), os.getpid()]
    return await asyncio.create_subprocess_exec(
        *launcher,
        *(str(part) for part in identity),
        str(folder),
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        pass_fds=() if keep is None else (keep,),
        start_new_session=True,
    )


async def _locked(path: Path, seconds: float) -> int:
    """Return a descriptor that holds the lock, waiting for a left-over PostgreSQL that is shutting down."""
    deadline = asyncio.get_running_loop().time() + seconds
    while (lock := await asyncio.to_thread(_try_lock, path)) is None:
        if asyncio.get_running_loop().time() > deadline:
            raise EmbeddedFailed(
                "Another process still runs the embedded database of this data directory.",
                hint="Stop the other stackyn server or command first.",
            )
        await asyncio.sleep(_LOCK_POLL_SECONDS)  # a lock can be waited for only by blocking a thread for ever
    return lock


def _try_lock(path: Path) -> int | None:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
