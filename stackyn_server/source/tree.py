"""List the files of a fetched commit and read single files, from git's objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.buildplan.file_sizes import bytes_allowed, file_too_large
from stackyn_server.config import SourceSettings
from stackyn_server.source import git, git_failures
from stackyn_server.source.children import CHUNK_BYTES, Child

# A tree bomb can have few files with very long paths. The longest path that a build can use is 4,096 bytes.
PATH_BYTES = 4_096
# The limit of all paths together: 50,000 paths of 320 bytes each.
PATHS_BYTES = 16 << 20
_MEGABYTE = 1 << 20
_SUBMODULE = "160000"
_SYMLINK = "120000"


@dataclass(frozen=True, slots=True)
class CommitFile:
    """A file of a commit. `mode` is git's (0o100644, 0o100755, 0o120000), `size` in bytes."""

    mode: int
    size: int

    @property
    def is_symlink(self) -> bool:
        return self.mode == int(_SYMLINK, 8)


@dataclass(frozen=True, slots=True)
class CommitTree:
    """The files of a commit, and the commits of its submodules, by path (`/` between members, none at the start)."""

    files: Mapping[str, CommitFile]
    submodules: Mapping[str, str]


async def list_files(settings: SourceSettings, directory: Path, sha: str) -> CommitTree:
    """List a commit's files. Limits are checked while git still writes, so a tree bomb ends at the limit.

    Raises `DeploymentFailed` with SOURCE_TOO_LARGE (`max_files`, or `max_mb` of contents) or SOURCE_EMPTY.
    """
    files: dict[str, CommitFile] = {}
    submodules: dict[str, str] = {}
    total_bytes, listed_bytes, rest = 0, 0, b""
    try:
        async with git.child(directory, ["ls-tree", "-r", "-z", "-l", "--full-tree", sha]) as running:
            while chunk := await running.stdout.read(CHUNK_BYTES):
                listed_bytes += len(chunk)
                *lines, rest = (rest + chunk).split(b"\0")
                for line in lines:
                    facts, _, path = line.decode("utf-8", "surrogateescape").partition("\t")
                    mode, _, name, size = facts.split()
                    if mode == _SUBMODULE:
                        submodules[path] = name
                        continue
                    files[path] = CommitFile(int(mode, 8), int(size))
                    total_bytes += int(size)
                if len(files) + len(submodules) > settings.max_files:
                    raise git_failures.too_many_files(settings.max_files)
                if len(rest) > PATH_BYTES or listed_bytes > PATHS_BYTES:
                    raise git_failures.paths_too_long()
                if total_bytes > settings.max_mb * _MEGABYTE:
                    raise git_failures.files_too_large(settings.max_mb)
                await asyncio.sleep(0)  # reading buffered data does not yield to other tasks
            await running.expect_success()
    except git.GitFailed as failed:
        raise git_failures.unreadable(failed) from failed
    if not files and not submodules:
        raise git_failures.no_files()
    return CommitTree(files, submodules)


@dataclass(frozen=True, slots=True)
class Blobs:
    """The contents of a commit's files, one at a time; symbolic links are followed inside the commit, 40 deep."""

    running: Child
    sha: str

    async def size(self, path: str, *, is_listed: bool = False) -> int | None:
        """Request a file and return its size, None when it is no file. Then read `chunks` to the end.

        When a file that `is_listed` in the commit is missing, the copy is damaged: raises `git.GitFailed`.
        """
        if "\n" in path:
            return None
        await self.running.write(f"{self.sha}:{path}\n".encode("utf-8", "surrogateescape"))
        # `<id> blob <size>`, or `<name> missing`, or another kind of object at the end of a link.
        words = (await self.running.stdout.readuntil(b"\n")).decode("utf-8", "replace").split()
        if words[-1] == "missing":
            if is_listed:
                raise git.GitFailed(0, "an object is missing")
            return None
        if words[-2] == "blob":
            return int(words[-1])
        async for _ in self.chunks(int(words[-1])):
            pass
        return None

    async def chunks(self, size: int) -> AsyncIterator[bytes]:
        """Yield the contents of the requested file."""
        remaining = size
        while remaining > 0:
            chunk = await self.running.stdout.readexactly(min(remaining, CHUNK_BYTES))
            remaining -= len(chunk)
            yield chunk
        await self.running.stdout.readexactly(1)


@asynccontextmanager
async def blobs(directory: Path, sha: str) -> AsyncIterator[Blobs]:
    """Open the contents of a commit. Raises `TransientFailure` when the copy can't be read."""
    arguments = ["cat-file", "--batch", "--follow-symlinks"]
    try:
        async with git.child(directory, arguments, stdin=asyncio.subprocess.PIPE) as running:
            try:
                yield Blobs(running, sha)
            except asyncio.IncompleteReadError as error:
                await running.expect_success()
                raise git_failures.unreadable(git.GitFailed(0, "the output ended early")) from error
    except git.GitFailed as failed:
        raise git_failures.unreadable(failed) from failed


async def read_files(directory: Path, sha: str, paths: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of those of `paths` that are files.

    Raises `DeploymentFailed` (SOURCE_TOO_LARGE) for a file that is larger than `buildplan.file_sizes` says.
    """
    contents: dict[str, bytes] = {}
    async with blobs(directory, sha) as opened:
        for path in paths:
            size = await opened.size(path)
            if size is not None and size > bytes_allowed(path):
                raise file_too_large(path)
            if size is not None:
                contents[path] = b"".join([chunk async for chunk in opened.chunks(size)])
    return contents
