"""Child processes that handle tenants' data, with limits of the kernel. They end when this process ends.

util-linux's `prlimit` and `setpriv` set the limits and the parent-death signal, because a `preexec_fn` can deadlock in
a process with threads.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

CHUNK_BYTES = 262_144
STDERR_BYTES = 8_192


class ChildFailed(Exception):
    """A child ended with an error. `stderr` is the end of its standard error. Callers translate it to a failure."""

    def __init__(self, returncode: int, stderr: str) -> None:
        super().__init__(f"the child ended with {returncode}")
        self.returncode = returncode
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """The kernel's limits of a child. `file_bytes` is the size of the largest file that it may write; None: no
    limit."""

    memory_bytes: int
    cpu_seconds: int | None = None
    file_bytes: int | None = None
    processes: int | None = None
    open_files: int | None = None

    def options(self) -> Iterator[str]:
        """Yield the options for `prlimit`."""
        # Bounds allocated memory, not mapped files.
        yield from (f"--data={self.memory_bytes}", "--core=0")
        if self.cpu_seconds is not None:
            # At the soft limit the child gets SIGXCPU, which distinguishes the limit from a kill.
            yield f"--cpu={self.cpu_seconds}:{self.cpu_seconds + 1}"
        if self.file_bytes is not None:
            yield f"--fsize={self.file_bytes}"
        if self.processes is not None:
            yield f"--nproc={self.processes}"
        if self.open_files is not None:
            yield f"--nofile={self.open_files}"


@dataclass(slots=True)
class Child:
    """A running child. `stdout` has back-pressure: the child waits when nobody reads."""

    process: asyncio.subprocess.Process
    stderr: asyncio.Task[bytes]
    failure: type[ChildFailed]

    @property
    def stdout(self) -> asyncio.StreamReader:
        assert self.process.stdout is not None, "its output goes to a pipe of its own"
        return self.process.stdout

    async def read(self, limit: int) -> bytes:
        """Return the first `limit` bytes of the output. The rest is read and dropped."""
        data = bytearray()
        while chunk := await self.stdout.read(CHUNK_BYTES):
            data += chunk[: limit - len(data)]
        return bytes(data)

    async def write(self, data: bytes) -> None:
        """Send more input. Input for a child that has ended is dropped; its exit code shows that end."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self.process.stdin.write(data)
            await self.process.stdin.drain()

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def read_stderr(self) -> str:
        """Wait until the child has closed its standard error and return the end of it."""
        return (await asyncio.shield(self.stderr)).decode("utf-8", "replace")

    async def expect_success(self) -> None:
        """Wait for the child's end; raise `failure` for a non-zero exit code. Read the output first."""
        stderr = await self.read_stderr()
        returncode = await self.process.wait()
        if returncode != 0:
            raise self.failure(returncode, stderr)


@asynccontextmanager
async def child(
    command: Sequence[str],
    environment: Mapping[str, str],
    limits: ProcessLimits,
    *,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.PIPE,
    pass_fds: Sequence[int] = (),
    failure: type[ChildFailed] = ChildFailed,
) -> AsyncIterator[Child]:
    """Run a program with exactly this environment. On leaving the block, it and its children are ended.

    `stdin` and `stdout` as for `asyncio.create_subprocess_exec`. The child inherits only these files and `pass_fds`.
    """
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"),
        *("prlimit", *limits.options(), "--"),
        *command,
        stdin=stdin,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd="/",
        start_new_session=True,
        pass_fds=pass_fds,
        limit=CHUNK_BYTES,
    )
    assert process.stderr is not None
    stderr = asyncio.create_task(_tail(process.stderr), name=f"child-stderr-{process.pid}")
    try:
        yield Child(process, stderr, failure)
    finally:
        await _end(process)
        await stderr


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode != 0:
        # Also after a failure of the child: a helper such as git-remote-https may outlive git.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    while process.stdout is not None and await process.stdout.read(CHUNK_BYTES):
        pass  # a pipe that is never read to its end keeps its transport open
    await process.wait()


async def _tail(stream: asyncio.StreamReader) -> bytes:
    tail = bytearray()
    while data := await stream.read(STDERR_BYTES):
        tail += data
        del tail[:-STDERR_BYTES]
    return bytes(tail)
