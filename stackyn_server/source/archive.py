"""A commit as the tar stream of a build context: git writes it, our filter changes it, nothing touches the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path

from stackyn_server.source import diagnosis, git
from stackyn_server.source.dockerignore import Ignore, parse
from stackyn_server.source.tarfilter import TarFilter
from stackyn_server.source.tree import read_files

IGNORE_FILE = ".dockerignore"


async def archive(
    directory: Path,
    sha: str,
    *,
    root: str = "",
    extra: Mapping[str, bytes] | None = None,
    ignore: Sequence[str] = (),
    keep: Sequence[str] = ("Dockerfile",),
    say: Callable[[str], None] | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the files below `root` of a commit as a tar, `root` itself stripped from their paths.

    `.dockerignore` of `root` is honoured after the patterns in `ignore`; the files in `keep` are always sent. `extra`
    members are added (`.stackyn/Dockerfile`); what the repository has under the same first name is left out, so that
    it can't put a link in their way. `say` gets lines for the build log about what is missing from the archive.
    Close it (`contextlib.aclosing`) when leaving early. Raises `TransientFailure` when the copy can't be read.
    """
    ignore_file = f"{root}/{IGNORE_FILE}" if root else IGNORE_FILE
    text = (await read_files(directory, sha, [ignore_file])).get(ignore_file, b"")
    patterns = (*ignore, *parse(text.decode("utf-8", "surrogateescape")))
    filtering = TarFilter(Ignore(patterns), root=root, extra=extra or {}, keep=(IGNORE_FILE, *keep))
    arguments = ["archive", "--format=tar", sha, *(["--", root] if root else [])]
    try:
        async with git.child(directory, arguments) as running:
            while chunk := await running.stdout.read(git.CHUNK_BYTES):
                # Headers and patterns cost CPU for each file, so this stays off the loop.
                if filtered := await asyncio.to_thread(filtering.feed, chunk):
                    yield filtered
            await running.succeeded()
    except git.GitFailed as failed:
        raise diagnosis.unreadable(failed) from failed
    yield filtering.end()
    if say is not None:
        for sentence in filtering.missing():
            say(sentence)
