"""Run git as a child process, without our environment and with limits of the kernel.

git parses untrusted packs in that process, never in ours.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from stackyn_server.source import children
from stackyn_server.source.children import STDERR_BYTES, Child, ChildFailed, ProcessLimits

# A pack may claim objects of any size.
MEMORY_BYTES = 1 << 30
# Objects above this size are streamed by git and never held in memory.
BIG_FILE_BYTES = 8 << 20

# Settings that a repository, a server or the machine's configuration could decide otherwise.
_ALWAYS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    f"core.bigFileThreshold={BIG_FILE_BYTES}",
    "gc.auto=0",
    "maintenance.auto=false",
    "tar.umask=0022",
)


class GitFailed(ChildFailed):
    """git ended with an error."""


def environment(protocols: Sequence[str] = ()) -> dict[str, str]:
    """Return the whole environment of a child: no user, no system configuration, no prompts, only these protocols.

    The operator's certificate bundle for git is passed on.
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


def child(
    directory: Path,
    arguments: Sequence[str],
    *,
    configuration: Sequence[str] = (),
    protocols: Sequence[str] = (),
    file_bytes: int | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.PIPE,
) -> AbstractAsyncContextManager[Child]:
    """Run `git <arguments>` on the bare repository `directory`; on leaving the block, it and its children are ended.

    `file_bytes` is the largest file it may write.
    """
    settings = [word for setting in (*_ALWAYS, *configuration) for word in ("-c", setting)]
    return children.child(
        ["git", f"--git-dir={directory}", "--literal-pathspecs", *settings, *arguments],
        environment(protocols),
        ProcessLimits(MEMORY_BYTES, file_bytes=file_bytes),
        stdin=stdin,
        stdout=stdout,
        failure=GitFailed,
    )


async def output(directory: Path, arguments: Sequence[str], *, limit: int = STDERR_BYTES) -> str:
    """Run a local command and return its output, at most `limit` bytes. Raises `GitFailed`."""
    async with child(directory, arguments) as running:
        text = await running.read(limit)
        await running.expect_success()
    return text.decode("utf-8", "surrogateescape")


async def size_of_packs(directory: Path) -> int:
    """Return the bytes of everything that was fetched into a bare repository."""
    return await asyncio.to_thread(
        lambda: sum(pack.stat().st_size for pack in directory.glob("objects/pack/*.pack"))
    )
