"""A git server that misbehaves, what it must not have anybody reach, and this server's way to fetch from it.

The addresses are loopback's: this machine's own. The repository's host is at 127.0.0.1, which the settings allow, and
what nobody may be led to is at 127.0.0.2.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.config import ReadingSettings, SourceSettings
from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.source import archive
from stackyn_server.source.repository import FetchedCommit, fetch
from tests.git_server import GitServer
from tests.patience import within

VICTIM = "127.0.0.2"
DEFENDED = SourceSettings(
    schemes=("http",), allowed_private=("127.0.0.1/32",), stall_seconds=2, max_mb=4, max_files=200
)
EVERYWHERE = DEFENDED.model_copy(
    update={"allowed_private": SourceSettings(allowed_private=("127.0.0.0/8",)).allowed_private}
)
LARGE = DEFENDED.model_copy(update={"max_mb": 512, "max_files": 50_000})
NOWHERE = "1" * 40


class HostileGitServer(GitServer):
    """Answers a path that it knows with a redirect or a body, and says where objects of Git LFS are."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.redirects: dict[str, str] = {}
        self.bodies: dict[str, bytes] = {}

    def answer(self, request: object, path: str, query: str) -> None:
        for prefix, location in self.redirects.items():
            if path.startswith(prefix):
                return _send(request, 302, b"", Location=location)
        for prefix, body in self.bodies.items():
            if path.startswith(prefix):
                kind = "application/vnd.git-lfs+json" if "lfs" in path else "text/plain"
                return _send(request, 200, body, Content_Type=kind)
        return super().answer(request, path, query)  # type: ignore[arg-type]


def _send(request: object, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)  # type: ignore[attr-defined]
    for name, value in {**headers, "Content_Length": str(len(body))}.items():
        request.send_header(name.replace("_", "-"), value)  # type: ignore[attr-defined]
    request.end_headers()  # type: ignore[attr-defined]
    request.wfile.write(body)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class RepositoryStage:
    """`asked` has what the victim was asked for. `secret` is in `file` of this machine."""

    server: HostileGitServer
    settings: SourceSettings
    victim: str
    asked: list[str]
    file: Path
    secret: str
    plainly: bool = False  # with an ordinary git and an ordinary checkout
    numbers: list[int] = field(default_factory=lambda: [0])

    def name(self) -> str:
        self.numbers[0] += 1
        return f"app{self.numbers[0]}"


@asynccontextmanager
async def repository_stage(folder: Path) -> AsyncIterator[RepositoryStage]:
    asked: list[str] = []

    async def answer(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await stream.readline()).decode("latin-1").strip())
        writer.write(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(HostileGitServer(folder / "served"))
        victim = await asyncio.start_server(answer, VICTIM, 0)
        await stack.enter_async_context(victim)
        file = folder / "secret"
        secret = "what only this machine reads"
        await asyncio.to_thread(file.write_text, secret)
        url = f"http://{VICTIM}:{victim.sockets[0].getsockname()[1]}"
        yield RepositoryStage(server, DEFENDED, url, asked, file, secret)


@asynccontextmanager
async def everywhere(stage: RepositoryStage) -> AsyncIterator[RepositoryStage]:
    yield replace(stage, settings=EVERYWHERE)


@asynccontextmanager
async def with_room(stage: RepositoryStage) -> AsyncIterator[RepositoryStage]:
    yield replace(stage, settings=LARGE)


@asynccontextmanager
async def with_plain_git(stage: RepositoryStage) -> AsyncIterator[RepositoryStage]:
    yield replace(stage, plainly=True)


async def fetched_from(stage: RepositoryStage, url: str) -> tuple[FetchedCommit | None, Path, str]:
    """Fetch it as this server does, or as an ordinary git would; return what was said."""
    clone = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=stage.file.parent)) / "clone"
    if stage.plainly:
        return None, clone, await _plain_clone(url, clone)
    try:
        fetched = await fetch(stage.settings, clone, url, "main", None, lambda _line: None)
    except DeploymentFailed as failed:
        return None, clone, f"{failed.failure.code}: {failed.failure.message}"
    return fetched, clone, "fetched"


async def _plain_clone(url: str, clone: Path) -> str:
    everything = ("protocol.allow=always", "http.followRedirects=true", "core.symlinks=true")
    settings = [word for setting in everything for word in ("-c", setting)]
    process = await asyncio.create_subprocess_exec(
        *("git", *settings, "clone", "--quiet", "--recurse-submodules", url, str(clone)),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with within(20):
        said, _ = await process.communicate()
    return said.decode("utf-8", "replace")


async def contents_of(clone: Path, fetched: FetchedCommit) -> str:
    """All that a build would get."""
    plan = BuildPlan("dockerfile", ("r",), "Dockerfile", None, None)
    stream = archive.archive(ReadingSettings(), clone, fetched.tree, plan)
    return b"".join([chunk async for chunk in stream]).decode("latin-1")


def is_below(folder: Path, secret: str) -> bool:
    files = [path for path in folder.rglob("*") if ".git" not in path.parts and path.is_file()]
    return any(secret in path.read_text("utf-8", "replace") for path in files)
