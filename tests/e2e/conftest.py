"""One real server and one git server for the end-to-end tests of a run; each test uses apps of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.git_server import GitServer
from tests.server_process import ServerProcess, running


@pytest.fixture(scope="session")
def client_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders in the place of built web clients."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("console", "cms")}
    for name, folder in folders.items():
        (folder / "index.html").write_text(f"the {name}")
    return {name: str(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
async def server(client_folders: dict[str, str]) -> AsyncIterator[ServerProcess]:
    async with running(frontend=client_folders) as server:
        yield server


@pytest.fixture(scope="session")
async def careful_server() -> AsyncIterator[ServerProcess]:
    """With a gate and a drain as in production: a release that ends after 2 s is found out. Quick to give up."""
    async with running(
        apps={"drain_seconds": 30, "stop_grace_seconds": 10, "default_cpu": 1.0},
        probe={"steady_seconds": 3, "known_steady_seconds": 0.5},
        ingress={"confirm_seconds": 4},
        deadlines={"probing": 6, "switching": 7},
    ) as server:
        yield server


@pytest.fixture(scope="session")
async def git(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git:
        yield git


@pytest.fixture
def apps_folder() -> Path:
    return Path(__file__).parent.parent / "apps"
