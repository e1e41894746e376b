"""The git child process: nothing of our environment, limits set by the kernel, gone when its owner is.

Untrusted packs are parsed by git in a process of its own, never in ours.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 262_144
STDERR_BYTES = 8_192
# A pack may claim objects of any size; what git allocates for them is bounded, not what it maps from files.
MEMORY_BYTES = 1 << 30
# Objects above this size are streamed by git and never held in memory.
BIG_FILE_BYTES = 8 << 20

# What a repository, a server or the machine's own configuration could otherwise decide.
_ALWAYS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    f"core.bigFileThreshold={BIG_FILE_BYTES}",
    "gc.auto=0",
    "maintenance.auto=false",
    "tar.umask=0022",
)


class GitFailed(Exception):
    """git ended with an error. `stderr` is the last of what it said; translated at the border of this room."""

    def __init__(self, returncode: int, stderr: str) -> None:
        super().__init__(f"git ended with {returncode}")
        self.returncode = returncode
        self.stderr = stderr


@dataclass(slots=True)
class Child:
    """A running git. `stdout` has back-pressure: git waits when nobody reads."""

    process: asyncio.subprocess.Process
    stdout: asyncio.StreamReader
    stderr: asyncio.Task[bytes]

    async def read(self, limit: int) -> bytes:
        """Return all of its output; what is beyond `limit` bytes is read and dropped."""
        data = bytearray()
        while chunk := await self.stdout.read(CHUNK_BYTES):
            data += chunk[: limit - len(data)]
        return bytes(data)

    async def succeeded(self) -> None:
        """Wait for its end, or raise `GitFailed`. The output must have been read before."""
        words = await asyncio.shield(self.stderr)
        returncode = await self.process.wait()
        if returncode != 0:
            raise GitFailed(returncode, words.decode("utf-8", "replace"))


def environment(protocols: Sequence[str] = ()) -> dict[str, str]:
    """The whole environment of a child: no user, no system configuration, no prompts, only these protocols.

    The certificate bundle that the operator named for git on this machine is passed on.
    """
    passed_on = {
        name: os.environ[name] for name in ("PATH", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH") if name in os.environ
    }
    return {
        "PATH": os.defpath,
        **passed_on,
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(protocols) or "none",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


@asynccontextmanager
async def child(
    directory: Path,
    arguments: Sequence[str],
    *,
    configuration: Sequence[str] = (),
    protocols: Sequence[str] = (),
    file_bytes: int | None = None,
    stdin: bytes = b"",
) -> AsyncIterator[Child]:
    """Run `git <arguments>` on the bare repository `directory`; on leaving, the child and its children are gone.

    `file_bytes` is the largest file it may write. Limits and the parent-death signal are set by util-linux's `prlimit`
    and `setpriv`, because a `preexec_fn` can deadlock in a process with threads.
    """
    limits = [f"--data={MEMORY_BYTES}", "--core=0"]
    if file_bytes is not None:
        limits.append(f"--fsize={file_bytes}")
    settings = [word for setting in (*_ALWAYS, *configuration) for word in ("-c", setting)]
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"),
        *("prlimit", *limits, "--"),
        *("git", f"--git-dir={directory}", "--literal-pathspecs", *settings, *arguments),
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(protocols),
        cwd="/",
        start_new_session=True,
        limit=CHUNK_BYTES,
    )
    assert process.stdout is not None and process.stderr is not None
    stderr = asyncio.create_task(_tail(process.stderr), name=f"git-stderr-{process.pid}")
    feeding = asyncio.create_task(_feed(process.stdin, stdin), name=f"git-stdin-{process.pid}")
    try:
        yield Child(process, process.stdout, stderr)
    finally:
        await _end(process)
        await asyncio.gather(stderr, feeding)


async def output(directory: Path, arguments: Sequence[str], *, limit: int = STDERR_BYTES) -> str:
    """Run a local command and return what it said, at most `limit` bytes; raises `GitFailed`."""
    async with child(directory, arguments) as running:
        text = await running.read(limit)
        await running.succeeded()
    return text.decode("utf-8", "surrogateescape")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode != 0:
        # Also after its own failure: a helper such as git-remote-https may outlive git.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout is not None
    while await process.stdout.read(CHUNK_BYTES):
        pass  # a pipe that is never read to its end keeps its transport open
    await process.wait()


async def _tail(stream: asyncio.StreamReader) -> bytes:
    tail = bytearray()
    while data := await stream.read(STDERR_BYTES):
        tail += data
        del tail[:-STDERR_BYTES]
    return bytes(tail)


async def _feed(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()
