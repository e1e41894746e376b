"""A git server and settings that allow it, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest

from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.config import SourceSettings
from stackyn_server.source.repository import fetch
from tests.git_server import GitServer, Tree
from tests.unit.buildplan.trees import TODAY

SETTINGS = SourceSettings(
    schemes=("http",), allowed_private=("127.0.0.0/8",), stall_seconds=2, max_mb=4, max_files=200
)

OPTIONS = PlanOptions(TODAY, default_port=8080)
FLASK = "from flask import Flask\napp = Flask(__name__)\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path / "served") as running:
        yield running


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return tmp_path / "clones" / "d1"


Fetched = Callable[[Tree], Coroutine[None, None, str]]


@pytest.fixture
def fetched(server: GitServer, clone: Path) -> Fetched:
    """Publish a tree of any size and fetch it into `clone`; returns the commit."""
    any_size = SETTINGS.model_copy(update={"max_files": 50_000, "max_mb": 512})

    async def publish_and_fetch(tree: Tree) -> str:
        url, _ = await server.publish("app", tree)
        return (await fetch(any_size, clone, url, "main", None, lambda line: None)).commit

    return publish_and_fetch


def git_processes(directory: Path) -> list[int]:
    """The running git processes that work on `directory`."""
    pids = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if f"--git-dir={directory}".encode() in words:
                pids.append(int(process.name))
    return pids


def files_in(directory: Path, pattern: str) -> dict[str, int]:
    """The sizes of the files below `directory` that match a glob pattern, by name."""
    return {path.name: path.stat().st_size for path in directory.glob(pattern) if path.is_file()}


def lose_objects(directory: Path) -> None:
    """Damage a repository: its packs are gone."""
    for pack in directory.glob("objects/pack/*"):
        pack.unlink()
