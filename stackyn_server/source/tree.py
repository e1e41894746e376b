"""What a fetched commit holds: its file list and the contents of single files, read from git's objects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.config import Source
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.source import diagnosis, git

FILE_BYTES = 2 << 20
# A tree bomb can make few files with endless paths; the longest path that a build can use is 4,096 bytes.
PATH_BYTES = 4_096
SUBMODULES_SHOWN = 5
_MEGABYTE = 1 << 20
_SUBMODULE = "160000"
_SYMLINK = "120000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a commit. `mode` is git's (0o100644, 0o100755, 0o120000), `size` in bytes."""

    mode: int
    size: int

    @property
    def is_symlink(self) -> bool:
        return self.mode == int(_SYMLINK, 8)


@dataclass(frozen=True, slots=True)
class Tree:
    """All files of a commit by path (`/` between members, no leading one), and the paths of its submodules."""

    files: Mapping[str, Entry]
    submodules: tuple[str, ...]

    def missing(self) -> list[str]:
        """Return sentences for the build log about what is named by the commit and not fetched."""
        if not self.submodules:
            return []
        names = ", ".join(self.submodules[:SUBMODULES_SHOWN])
        more = len(self.submodules) - SUBMODULES_SHOWN
        names += f" and {more} more" if more > 0 else ""
        return [f"Submodules are not fetched, their folders are empty in the build: {names}"]


async def list_files(settings: Source, directory: Path, sha: str) -> Tree:
    """List a commit's files, bounded while git still speaks: a tree bomb ends at the limit.

    Raises `DeploymentFailed` with SOURCE_TOO_LARGE (`max_files`, or `max_mb` of contents) or SOURCE_EMPTY.
    """
    files: dict[str, Entry] = {}
    submodules: list[str] = []
    total_bytes, rest = 0, b""
    try:
        async with git.child(directory, ["ls-tree", "-r", "-z", "-l", "--full-tree", sha]) as running:
            while chunk := await running.stdout.read(git.CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\0")
                for line in lines:
                    facts, _, path = line.decode("utf-8", "surrogateescape").partition("\t")
                    mode, _, _, size = facts.split()
                    if mode == _SUBMODULE:
                        submodules.append(path)
                        continue
                    files[path] = Entry(int(mode, 8), int(size))
                    total_bytes += int(size)
                if len(files) + len(submodules) > settings.max_files or len(rest) > PATH_BYTES:
                    raise diagnosis.too_many_files(settings.max_files)
                if total_bytes > settings.max_mb * _MEGABYTE:
                    raise diagnosis.files_too_large(settings.max_mb)
            await running.succeeded()
    except git.GitFailed as failed:
        raise diagnosis.unreadable(failed) from failed
    if not files:
        raise diagnosis.no_files()
    return Tree(files, tuple(submodules))


async def read_files(directory: Path, sha: str, paths: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of those of `paths` that are files; symbolic links are followed inside the commit.

    Raises `DeploymentFailed` (SOURCE_TOO_LARGE) for one over 2 MiB.
    """
    wanted = [path for path in paths if "\n" not in path]
    found: dict[str, bytes] = {}
    if not wanted:
        return found
    names = "".join(f"{sha}:{path}\n" for path in wanted).encode("utf-8", "surrogateescape")
    try:
        async with git.child(directory, ["cat-file", "--batch", "--follow-symlinks"], stdin=names) as running:
            for path in wanted:
                content = await _next_file(running.stdout, path)
                if content is not None:
                    found[path] = content
            await running.succeeded()
    except asyncio.IncompleteReadError as error:
        raise diagnosis.unreadable(git.GitFailed(0, "the output ended early")) from error
    except git.GitFailed as failed:
        raise diagnosis.unreadable(failed) from failed
    return found


async def _next_file(stream: asyncio.StreamReader, path: str) -> bytes | None:
    """Read one answer: `<id> blob <size>`, or `<name> missing`, or what a link led to instead of a file."""
    words = (await stream.readuntil(b"\n")).decode("utf-8", "replace").split()
    if words[-1] == "missing":
        return None
    kind, size = words[-2], int(words[-1])
    if kind == "blob":
        if size > FILE_BYTES:
            raise _file_too_large(path)
        return (await stream.readexactly(size + 1))[:-1]
    remaining = size + 1
    while remaining > 0:
        remaining -= len(await stream.readexactly(min(remaining, git.CHUNK_BYTES)))
    return None


def _file_too_large(path: str) -> DeploymentFailed:
    return DeploymentFailed(
        Failure(
            FailureCode.SOURCE_TOO_LARGE,
            f"The file {path} is larger than {FILE_BYTES // _MEGABYTE} MiB, too large to be read for the build plan.",
            "Make it smaller, then deploy again.",
        )
    )
