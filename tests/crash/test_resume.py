"""What was finished before a kill is not done again: the commit that was recorded, the image that was built."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.audit import is_whole
from tests.crash.kills import kill_at_each
from tests.crash.stage import Stage, redeploy
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running() as server:
        yield server


@pytest.fixture
async def git(tmp_path: Path) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path / "git") as git:
        yield git


async def test_a_commit_once_recorded_is_built_whatever_was_pushed_since(
    server: ServerProcess, git: GitServer
) -> None:
    stage = Stage(server, git)
    await stage.go_live()
    await kill_at_each(server, {"build.planning"}, lambda: _redeploy_and_push(stage))
    await _is_live_with(stage, "2")


async def test_an_image_once_built_is_not_built_again(server: ServerProcess, git: GitServer) -> None:
    stage = Stage(server, git)
    await stage.go_live()
    await kill_at_each(server, {"build.image"}, lambda: redeploy(stage))
    await _is_live_with(stage, "2")
    assert await _lines(stage, "The image was built before the interruption.")
    assert len(await _lines(stage, "COPY busybox")) <= 1, "the last lines before a kill may be lost"


async def _redeploy_and_push(stage: Stage) -> None:
    """Push again as soon as the server has died."""
    await redeploy(stage)
    await stage.server.died()
    await stage.publish()


async def _is_live_with(stage: Stage, text: str) -> None:
    newest = (await stage.server.api("GET", f"/api/v1/apps/{stage.app}/deployments", expect=200))[0]
    await stage.server.deployed(newest["id"])
    assert await stage.server.visit(stage.name) == (200, text)
    await is_whole(stage.server)


async def _lines(stage: Stage, words: str) -> list[str]:
    """The lines of the newest deployment's build log that have these words."""
    newest = (await stage.server.api("GET", f"/api/v1/apps/{stage.app}/deployments", expect=200))[0]
    logs = await stage.server.api("GET", f"/api/v1/deployments/{newest['id']}/logs", expect=200)
    return [line for line in logs["build_log"].splitlines() if words in line]
