"""One server for each data directory: a kernel lock on a file in it, which ends with the process however it ends.

A stopped process (SIGSTOP) keeps its lock: `take_over` ends the holder, once it is certain which process that is.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import structlog

from stackyn_server.errors import StackynError
from stackyn_server.pause import is_set_within

log = structlog.get_logger()

_SEARCHABLE = 0o711  # the database's user goes through it, and only its owner lists it
_LOCK_FILE = "lock"
_IDENTITY_FILE = "server-id"
_START_TIME_FIELD = 19  # of /proc/<pid>/stat, counted after the command's closing bracket (proc(5): field 22)
_STATE_FIELD = 0


class AlreadyRunning(StackynError):
    """Another server holds the data directory. `message` says which process, and since when."""

    code = "ALREADY_RUNNING"
    exit_code = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds the lock, as the lock file says. `start_ticks` tells it from a later one of that pid."""

    pid: int
    start_ticks: int
    since: datetime

    @classmethod
    def ourselves(cls) -> Holder:
        return cls(os.getpid(), _stat(os.getpid())[1], datetime.now(UTC))

    def as_json(self) -> str:
        return json.dumps({"pid": self.pid, "start_ticks": self.start_ticks, "since": self.since.isoformat()})

    @classmethod
    def from_json(cls, text: str) -> Holder:
        values = json.loads(text)
        return cls(int(values["pid"]), int(values["start_ticks"]), datetime.fromisoformat(values["since"]))

    def __str__(self) -> str:
        return f"process {self.pid}, since {self.since:%Y-%m-%d %H:%M:%S} UTC"


class DataDirectory:
    """A data directory that is ours alone until `release` or the end of the process."""

    def __init__(self, path: Path, identity: str, descriptor: int) -> None:
        self.path = path
        self.identity = identity  # host name and an id of this directory; says in the database who leads
        self._descriptor = descriptor

    @classmethod
    async def acquire(
        cls, path: Path, *, take_over: bool = False, take_over_seconds: float = 10
    ) -> DataDirectory:
        """Take the lock. With `take_over` a holder gets SIGTERM, and SIGKILL after `take_over_seconds`.

        Raises `AlreadyRunning`; OSError when the directory can't be made or written.
        """
        descriptor, locked = await asyncio.to_thread(_open_and_lock, path)
        try:
            if not locked:
                holder = await asyncio.to_thread(_read_holder, descriptor)
                if not take_over or holder is None:
                    raise _already_running(path, holder)
                await _terminate(holder, take_over_seconds)
                if not await asyncio.to_thread(_try_lock, descriptor):
                    raise _already_running(path, await asyncio.to_thread(_read_holder, descriptor))
            identity = await asyncio.to_thread(_write_holder, path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, identity, descriptor)

    def release(self) -> None:
        os.close(self._descriptor)


def living_holder(path: Path) -> Holder | None:
    """Return the process that uses the directory, None without one. Does not touch the lock, which a server may be
    taking right now. Blocks briefly."""
    try:
        holder = Holder.from_json((path / _LOCK_FILE).read_text())
        is_alive = _stat(holder.pid)[1] == holder.start_ticks
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return holder if is_alive else None


def _open_and_lock(path: Path) -> tuple[int, bool]:
    path.mkdir(parents=True, exist_ok=True)
    if path.stat().st_uid == os.geteuid():
        path.chmod(_SEARCHABLE)
    descriptor = os.open(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return descriptor, _try_lock(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(descriptor: int) -> Holder | None:
    """Return None while the holder has not written its name yet."""
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")
    try:
        return Holder.from_json(text)
    except (ValueError, KeyError, TypeError):
        return None


def _write_holder(path: Path, descriptor: int) -> str:
    """Write this process into the lock file, and return the identity of the directory."""
    text = Holder.ourselves().as_json().encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)
    file = path / _IDENTITY_FILE
    if not file.exists():
        file.write_text(uuid4().hex)
    return f"{socket.gethostname()} {file.read_text().strip()}"


def _already_running(path: Path, holder: Holder | None) -> AlreadyRunning:
    who = f" ({holder})" if holder else ""
    return AlreadyRunning(
        f"Another Stackyn server{who} uses the data directory {path}.",
        hint="Stop it first, or start with --take-over to end it.",
    )


async def _terminate(holder: Holder, seconds: float) -> None:
    """End the holder and return when it is gone. A stopped process can't end by itself, so it gets SIGKILL at once."""
    try:
        process = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        return
    try:
        # Checked after the descriptor is open: from here on it means this process and no later one of the same pid.
        state, start_ticks = await asyncio.to_thread(_stat, holder.pid)
        if start_ticks != holder.start_ticks:
            return
        log.warning("holder.ended", pid=holder.pid, since=holder.since.isoformat())
        if state not in ("T", "t"):
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if await _gone(process, seconds):
                return
        signal.pidfd_send_signal(process, signal.SIGKILL)
        await _gone(process, seconds)
    except ProcessLookupError:
        return
    finally:
        os.close(process)


async def _gone(process: int, seconds: float) -> bool:
    """Wait until the process of this pidfd has ended: only then are its files, and the lock, closed."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process, ended.set)
    try:
        return await is_set_within(ended, seconds)
    finally:
        loop.remove_reader(process)


def _stat(pid: int) -> tuple[str, int]:
    """Return a process's state letter and start time in clock ticks. Raises ProcessLookupError when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    return fields[_STATE_FIELD], int(fields[_START_TIME_FIELD])
