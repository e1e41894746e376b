"""Read tenants' files in a child process, never in ours: `python -m stackyn_server.buildplan` with limits.

The child has an empty environment, no files but its pipes, a user that owns nothing, and can't start another process.
Its answers are bounded and checked, because a tenant may control them.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import structlog

import stackyn_server
from stackyn_server.buildplan.build_plan import BuildPlan, DeploymentSettings
from stackyn_server.buildplan.child.conversation import MESSAGE_BYTES, options_as_json
from stackyn_server.buildplan.child.exits import OUT_OF_MEMORY
from stackyn_server.buildplan.file_sizes import bytes_allowed
from stackyn_server.buildplan.formats.text import clean
from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.config import ReadingSettings
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.source import children
from stackyn_server.source.children import Child, ChildFailed, ProcessLimits
from stackyn_server.source.tree import Blobs, blobs

log = structlog.get_logger()

# The most that one plan may read: more than any real project needs.
FILES_READ, BYTES_READ = 2_000, 96 << 20
_OPEN_FILES = 32
_MAY_BE_NONE = ("generated", "port", "dockerfile_from", "root")
# Without `site`, which costs 15 ms and could import another version of this package: it is found by its folder.
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from stackyn_server.buildplan.__main__ import run; run()"
_PACKAGE = str(Path(stackyn_server.__file__).parent.parent)


def child(
    settings: ReadingSettings, cpu_seconds: int, *arguments: str, pass_fds: tuple[int, ...] = ()
) -> AbstractAsyncContextManager[Child]:
    """Start the child, with its standard input and output as pipes."""
    command = [sys.executable, "-I", "-S", "-B", "-W", "ignore", "-c", START, _PACKAGE, *arguments]
    limits = ProcessLimits(settings.memory_mb << 20, cpu_seconds, 0, processes=0, open_files=_OPEN_FILES)
    return children.child(command, {}, limits, stdin=asyncio.subprocess.PIPE, pass_fds=pass_fds)


async def plan(
    settings: ReadingSettings, directory: Path, sha: str, paths: Iterable[str], options: PlanOptions
) -> BuildPlan:
    """Decide how a commit is built. `paths` are all files of the commit, `directory` is its bare repository.

    Raises `DeploymentFailed` as `buildplan.make_plan` does, or when reading the files takes more time or memory than
    `[reading]` allows; `ReaderDied` when something else ended the child.
    """
    commit_paths = frozenset(paths)
    listed = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in commit_paths)
    head = json.dumps({"options": options_as_json(options), "paths_bytes": len(listed)}).encode("ascii")
    budget = _Budget()
    try:
        async with blobs(directory, sha) as opened, child(settings, settings.cpu_seconds, "plan") as running:
            await running.write(head + b"\n" + listed)
            while (message := await _message(running)).keys() == {"read"}:
                for path in _paths(message["read"], commit_paths):
                    await _answer(running, opened, path, budget)
            return _outcome(message)
    except ChildFailed as failed:
        raise explain_exit(failed, settings, settings.cpu_seconds) from failed


class _Budget:
    """Counts the files and bytes that one plan has read."""

    def __init__(self) -> None:
        self.files = self.bytes = 0

    def spend(self, size: int) -> None:
        self.files += 1
        self.bytes += size
        if self.files > FILES_READ or self.bytes > BYTES_READ:
            raise DeploymentFailed.of(
                FailureCode.SOURCE_TOO_LARGE,
                "Too many or too large files have to be read for the build plan.",
                "Set the root directory to the app's own folder, or add a Dockerfile.",
            )


async def _answer(running: Child, opened: Blobs, path: str, budget: _Budget) -> None:
    size = await opened.size(path, is_listed=True)
    if size is None:
        await running.write(b"-\n")
        budget.spend(0)
        return
    is_too_large = size > bytes_allowed(path)
    budget.spend(0 if is_too_large else size)
    await running.write(b"+\n" if is_too_large else b"%d\n" % size)
    async for chunk in opened.chunks(size):
        if not is_too_large:
            await running.write(chunk)


async def _message(running: Child) -> dict[str, Any]:
    """Read the next message; raises `ChildFailed` when the child has ended instead."""
    try:
        line = await running.stdout.readuntil(b"\n")
        if not line.strip().isdigit() or int(line) > MESSAGE_BYTES:
            raise _broke(f"a message of {line[:40]!r} bytes")
        message = json.loads(await running.stdout.readexactly(int(line)))
    except asyncio.IncompleteReadError as error:
        stderr = await running.read_stderr()
        raise ChildFailed(await running.process.wait(), stderr) from error
    except (ValueError, RecursionError, asyncio.LimitOverrunError) as error:
        raise _broke(str(error)) from error
    if not isinstance(message, dict):
        raise _broke("no object")
    return message


def _paths(value: object, commit_paths: frozenset[str]) -> list[str]:
    if not isinstance(value, list) or not all(
        isinstance(path, str) and path in commit_paths for path in value
    ):
        raise _broke("no list of the commit's paths")
    return value


def _outcome(message: Mapping[str, Any]) -> BuildPlan:
    """Return the plan of the last message, or raise its failure."""
    try:
        if "plan" in message:
            return _checked(BuildPlan.from_json(message["plan"]))
        failed = message["failed"]
        texts = (clean(str(failed[name])) for name in ("message", "hint", "evidence"))
        raise DeploymentFailed(Failure(FailureCode(failed["code"]), *texts))
    except (KeyError, ValueError, TypeError) as error:
        raise _broke(repr(error)) from error


def _checked(plan: BuildPlan) -> BuildPlan:
    """Return the plan with clean texts. Raises `TypeError` or `ValueError` for an invalid part."""
    values: dict[str, Any] = {}
    for name in BuildPlan.__dataclass_fields__:
        value = getattr(plan, name)
        if isinstance(value, tuple):
            values[name] = tuple(_text(item) for item in value)
        elif value is None and name in _MAY_BE_NONE:
            values[name] = None
        elif name == "deploying":
            values[name] = _deploying(value)
        elif name == "port":
            values[name] = _port(value)
        elif name in ("repeatable", "is_started"):
            values[name] = value is True
        else:
            values[name] = _text(value)
    members = values["dockerfile"].split("/")
    if not {"", ".", ".."}.isdisjoint(members) or values["dockerfile_from"] == "":
        raise ValueError("dockerfile")
    if not {".", ".."}.isdisjoint((values["root"] or "").split("/")):
        raise ValueError("root")
    return BuildPlan(**values)


def _deploying(deployment_settings: DeploymentSettings) -> DeploymentSettings:
    def checked(value: object) -> Any:
        if value is None:
            return None
        return _port(value) if isinstance(value, int) else _text(value)

    names = DeploymentSettings.__dataclass_fields__
    return DeploymentSettings(**{name: checked(getattr(deployment_settings, name)) for name in names})


def _port(value: object) -> int:
    if type(value) is not int:
        raise TypeError("no port")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return clean(value)


class ReaderDied(TransientFailure):
    """Something other than its limits ended the child. A retry may succeed; the number of retries is limited."""


def explain_exit(failed: ChildFailed, settings: ReadingSettings, cpu_seconds: int) -> DeploymentFailed:
    """Explain the exit of a child that reads tenants' files."""
    exceeded = None
    if failed.returncode == -signal.SIGXCPU:
        exceeded = f"{cpu_seconds} seconds of processor time"
    elif failed.returncode == OUT_OF_MEMORY:
        exceeded = f"{settings.memory_mb} MiB of memory"
    if exceeded:
        return DeploymentFailed.of(
            FailureCode.SOURCE_TOO_LARGE,
            f"Reading the repository's files took more than {exceeded}.",
            "Look for an unusual manifest, lock, ignore or source file, or add a plain Dockerfile.",
        )
    log.error("reader.died", returncode=failed.returncode, stderr=failed.stderr)
    return ReaderDied(reader_died())


def reader_died() -> Failure:
    """Return the failure for a process, the child or the server, that was ended while it read."""
    return Failure(
        FailureCode.INTERNAL,
        "The process that reads the repository's files was ended before it was done.",
        "Look for an unusual manifest, lock, ignore or source file; tell the operator if there is none.",
    )


def _broke(reason: str) -> ChildFailed:
    return ChildFailed(0, f"an answer that makes no sense: {reason}")
