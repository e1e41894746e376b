"""Stream a commit as the tar of a build context: git writes it, our child process filters it, nothing touches the
disk."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.child.exits import CUT_OFF
from stackyn_server.buildplan.context.filter import ContextRequest
from stackyn_server.buildplan.formats.text import clean
from stackyn_server.config import ReadingSettings
from stackyn_server.source import git, git_failures, reader
from stackyn_server.source.children import CHUNK_BYTES, ChildFailed
from stackyn_server.source.tree import read_files

IGNORE_FILE = ".dockerignore"
# Ignored, so that a build that copies everything does not copy our Dockerfile.
_OUR_FOLDER = ".stackyn"
_PIPE_BYTES = 1 << 20


async def archive(
    settings: ReadingSettings,
    directory: Path,
    sha: str,
    plan: BuildPlan,
    *,
    root: str = "",
    prefix: str = "context/",
    write_line: Callable[[str], None] | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the build context of a plan as a tar: the files below `root`, under the path `prefix`.

    The ignore file beside the Dockerfile (`<Dockerfile>.dockerignore`) applies, else the `.dockerignore` of `root`, as
    with `docker build`. The repository's own Dockerfile and its ignore file are always sent. A generated Dockerfile is
    added, with an ignore file of its own, in a folder that the repository can't write to, so that the builder leaves
    out nothing more; what its plan ignores is left out, and what it copies is sent. `write_line` gets lines for the
    build log about missing contents. Use `contextlib.aclosing` to stop early.

    Raises `TransientFailure` when the copy can't be read, `DeploymentFailed` and `ReaderDied` as `reader.plan` does.
    """
    request = json.dumps(asdict(await _request(directory, sha, plan, root, prefix))).encode("ascii")
    arguments = ["archive", "--format=tar", sha, *(["--", root] if root else [])]
    read_end, write_end = os.pipe()
    with suppress(PermissionError):  # the user may have reached the limit on pipe memory
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    try:
        async with git.child(directory, arguments, stdout=write_end) as archiving:
            write_end = _closed(write_end)
            seconds = settings.context_cpu_seconds
            async with reader.child(
                settings, seconds, "context", str(read_end), pass_fds=(read_end,)
            ) as filtering:
                read_end = _closed(read_end)
                await filtering.write(request)
                filtering.end_input()
                while chunk := await filtering.stdout.read(CHUNK_BYTES):
                    yield chunk
                report = await filtering.read_stderr()
                if (code := await filtering.process.wait()) not in (0, CUT_OFF):
                    raise reader.explain_exit(ChildFailed(code, report), settings, seconds)
                await archiving.expect_success()
                if code == CUT_OFF:
                    raise git_failures.unreadable(git.GitFailed(0, "the archive ended early"))
    except git.GitFailed as failed:
        raise git_failures.unreadable(failed) from failed
    finally:
        _closed(read_end)
        _closed(write_end)
    if write_line is not None:
        for sentence in _sentences(report):
            write_line(sentence)


async def _request(directory: Path, sha: str, plan: BuildPlan, root: str, prefix: str) -> ContextRequest:
    """Read what the filter needs: the ignore rules, and a Dockerfile outside of `root`."""
    below = f"{root}/" if root else ""
    dockerfile = plan.dockerfile_from or below + plan.dockerfile
    ignore_files = [f"{dockerfile}.{IGNORE_FILE[1:]}", below + IGNORE_FILE]
    dockerfiles = [plan.dockerfile_from] if plan.dockerfile_from else []
    contents = await read_files(directory, sha, [*ignore_files, *dockerfiles])
    texts = {path: content.decode("utf-8", "surrogateescape") for path, content in contents.items()}
    rules = next((texts[path] for path in ignore_files if path in texts), "")
    extra = {}
    if plan.generated is not None:
        extra = {plan.dockerfile: plan.generated, f"{plan.dockerfile}.dockerignore": f"{_OUR_FOLDER}\n"}
    elif plan.dockerfile_from is not None:
        extra = {
            plan.dockerfile: texts.get(plan.dockerfile_from, ""),
            f"{plan.dockerfile}.dockerignore": f"{rules}\n{_OUR_FOLDER}\n",
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
    """Return the child's sentences about missing contents; none when the report is malformed."""
    with suppress(ValueError):
        sentences = json.loads(report)
        if isinstance(sentences, list):
            return [clean(str(sentence)) for sentence in sentences]
    return []
