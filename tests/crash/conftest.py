from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.kill_trials import KillTrials
from tests.git_server import GitServer


@pytest.fixture
async def git(tmp_path: Path) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path / "git") as git:
        yield git


@pytest.fixture(scope="module")
async def trials(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KillTrials]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git, KillTrials(git) as trials:
        yield trials
