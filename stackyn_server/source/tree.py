"""What a fetched commit holds: its file list and the contents of single files, read from git's objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.buildplan.file_sizes import bytes_allowed, file_too_large
from stackyn_server.config import SourceSettings
from stackyn_server.source import git, git_failures

# A tree bomb can make few files with endless paths; the longest path that a build can use is 4,096 bytes.
PATH_BYTES = 4_096
# All of them together: 50,000 of 320 bytes each.
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
    """All files of a commit by path (`/` between members, no leading one), its submodules' commits likewise."""

    files: Mapping[str, CommitFile]
    submodules: Mapping[str, str]


async def list_files(settings: SourceSettings, directory: Path, sha: str) -> CommitTree:
    """List a commit's files, bounded while git still speaks: a tree bomb ends at the limit.

    Raises `DeploymentFailed` with SOURCE_TOO_LARGE (`max_files`, or `max_mb` of contents) or SOURCE_EMPTY.
    """
    files: dict[str, CommitFile] = {}
    submodules: dict[str, str] = {}
    total_bytes, listed_bytes, rest = 0, 0, b""
    try:
        async with git.child(directory, ["ls-tree", "-r", "-z", "-l", "--full-tree", sha]) as running:
            while chunk := await running.stdout.read(git.CHUNK_BYTES):
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
                await asyncio.sleep(0)  # a stream with data at hand does not let others run
            await running.expect_success()
    except git.GitFailed as failed:
        raise git_failures.unreadable(failed) from failed
    if not files and not submodules:
        raise git_failures.no_files()
    return CommitTree(files, submodules)


@dataclass(frozen=True, slots=True)
class Blobs:
    """The contents of a commit's files, one at a time; symbolic links are followed inside the commit, 40 deep."""

    running: git.Child
    sha: str

    async def size(self, path: str, *, is_listed: bool = False) -> int | None:
        """Begin with a file: return its size, then `chunks` must be read to the end. None when it is no file.

        One that `is_listed` in the commit and yet missing shows that the copy is damaged.
        """
        if "\n" in path:
            return None
        await self.running.write(f"{self.sha}:{path}\n".encode("utf-8", "surrogateescape"))
        # `<id> blob <size>`, or `<name> missing`, or what a link led to instead of a file.
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
        """Yield the contents of the file whose `size` was asked for."""
        remaining = size
        while remaining > 0:
            chunk = await self.running.stdout.readexactly(min(remaining, git.CHUNK_BYTES))
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

    Raises `DeploymentFailed` (SOURCE_TOO_LARGE) for one that is larger than `buildplan.sizes` says.
    """
    found: dict[str, bytes] = {}
    async with blobs(directory, sha) as opened:
        for path in paths:
            size = await opened.size(path)
            if size is not None and size > bytes_allowed(path):
                raise file_too_large(path)
            if size is not None:
                found[path] = b"".join([chunk async for chunk in opened.chunks(size)])
    return found
