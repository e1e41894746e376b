"""A commit as the tar of a build context: git writes it, a child of ours filters it, nothing touches the disk."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.child.exits import CUT_OFF
from stackyn_server.buildplan.context.filter import ContextRequest
from stackyn_server.buildplan.formats.text import clean
from stackyn_server.config import ReadingSettings
from stackyn_server.source import git, git_failures, reader
from stackyn_server.source.children import ChildFailed
from stackyn_server.source.tree import read_files

IGNORE_FILE = ".dockerignore"
# A build that copies everything does not get our Dockerfile.
_OURS = ".stackyn"
_PIPE_BYTES = 1 << 20


async def archive(
    settings: ReadingSettings,
    directory: Path,
    sha: str,
    plan: BuildPlan,
    *,
    root: str = "",
    prefix: str = "context/",
    say: Callable[[str], None] | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the build context of a plan as a tar: the files below `root`, which becomes `prefix`.

    The ignore file beside the Dockerfile (`<Dockerfile>.dockerignore`) counts, else the `.dockerignore` of `root`, as
    with `docker build`. An own Dockerfile and its ignore file are always sent; a generated one is added, what its plan
    ignores is left out, and what it copies is sent. What is added has a folder that the repository can't write to, and
    an ignore file of its own there, so that the builder leaves out nothing more. `say` gets lines for the build log
    about what is missing. Close it (`contextlib.aclosing`) when leaving early.

    Raises `TransientFailure` when the copy can't be read, `DeploymentFailed` and `ReaderDied` as `reader.plan` does.
    """
    request = json.dumps((await _request(directory, sha, plan, root, prefix)).as_json()).encode("ascii")
    arguments = ["archive", "--format=tar", sha, *(["--", root] if root else [])]
    ours, gits = os.pipe()
    with suppress(PermissionError):  # a user may have too many pipes to make them larger
        fcntl.fcntl(gits, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    try:
        async with git.child(directory, arguments, stdout=gits) as archiving:
            gits = _closed(gits)
            seconds = settings.context_cpu_seconds
            async with reader.child(settings, seconds, "context", str(ours), pass_fds=(ours,)) as filtering:
                ours = _closed(ours)
                await filtering.write(request)
                filtering.end_input()
                while chunk := await filtering.stdout.read(git.CHUNK_BYTES):
                    yield chunk
                words = await filtering.read_stderr()
                if (code := await filtering.process.wait()) not in (0, CUT_OFF):
                    raise reader.explain_exit(ChildFailed(code, words), settings, seconds)
                await archiving.expect_success()
                if code == CUT_OFF:
                    raise git_failures.unreadable(git.GitFailed(0, "the archive ended early"))
    except git.GitFailed as failed:
        raise git_failures.unreadable(failed) from failed
    finally:
        _closed(ours)
        _closed(gits)
    if say is not None:
        for sentence in _sentences(words):
            say(sentence)


async def _request(directory: Path, sha: str, plan: BuildPlan, root: str, prefix: str) -> ContextRequest:
    """Read what the filter has to know."""
    below = f"{root}/" if root else ""
    dockerfile = plan.dockerfile_from or below + plan.dockerfile
    ignore_files = [f"{dockerfile}.{IGNORE_FILE[1:]}", below + IGNORE_FILE]
    others = [plan.dockerfile_from] if plan.dockerfile_from else []
    found = await read_files(directory, sha, [*ignore_files, *others])
    texts = {path: content.decode("utf-8", "surrogateescape") for path, content in found.items()}
    rules = next((texts[path] for path in ignore_files if path in texts), "")
    extra = {}
    if plan.generated is not None:
        extra = {plan.dockerfile: plan.generated, f"{plan.dockerfile}.dockerignore": f"{_OURS}\n"}
    elif plan.dockerfile_from is not None:
        extra = {
            plan.dockerfile: texts.get(plan.dockerfile_from, ""),
            f"{plan.dockerfile}.dockerignore": f"{rules}\n{_OURS}\n",
        }
    return ContextRequest(
        root=root,
        prefix=prefix,
        ignore=list(plan.ignore),
        ignore_text=rules,
        keep=[]
        if plan.generated is not None
        else [plan.dockerfile, f"{plan.dockerfile}.dockerignore", IGNORE_FILE],
        copies=list(plan.copies),
        extra=extra,
    )


def _closed(descriptor: int) -> int:
    """Close a pipe's end unless it is closed already (-1)."""
    if descriptor >= 0:
        os.close(descriptor)
    return -1


def _sentences(report: str) -> list[str]:
    """Return what the child said is missing; a report that makes no sense says nothing."""
    with suppress(ValueError):
        sentences = json.loads(report)
        if isinstance(sentences, list):
            return [clean(str(sentence)) for sentence in sentences]
    return []
