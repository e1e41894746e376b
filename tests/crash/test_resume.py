"""What was finished before a kill is not done again: the commit that was recorded, the image that was built."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.commands import containers_of_commands
from tests.crash.audit import is_whole
from tests.crash.kills import kill_at_each
from tests.crash.stage import Stage, redeploy, redeploy_with_command
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker, running


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running() as server:
        yield server


@pytest.fixture
async def git(tmp_path: Path) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path / "git") as git:
        yield git


async def test_a_recorded_commit_is_built_despite_newer_pushes(server: ServerProcess, git: GitServer) -> None:
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


async def test_a_release_command_that_was_started_is_waited_for(
    server: ServerProcess, git: GitServer
) -> None:
    stage = Stage(server, git)
    await stage.go_live()
    points = {"releasing.created", "releasing.started", "releasing.ended"}
    await kill_at_each(server, points, lambda: redeploy_with_command(stage))
    await _is_live_with(stage, "2")
    assert len([line for line in await _lines(stage, "run ") if line.startswith("run ")]) == 1


async def test_a_release_command_whose_end_nobody_saw_is_not_repeated(
    server: ServerProcess, git: GitServer
) -> None:
    stage = Stage(server, git)
    await stage.go_live()
    await kill_at_each(server, {"releasing.started"}, lambda: _redeploy_and_lose_command(stage))
    newest = await stage.newest()
    failed = await server.deployed(newest, "failed")
    assert failed["failure"]["code"] == "RELEASE_FAILED"
    assert "before it was known how it ended" in failed["failure"]["message"]
    assert await server.visit(stage.name) == (200, "1")
    await is_whole(server)


async def _redeploy_and_lose_command(stage: Stage) -> None:
    """Remove the command's container as soon as the server has died."""
    await redeploy_with_command(stage)
    await stage.server.died()
    (container,) = await containers_of_commands(stage.server)
    await docker("rm", "-f", container)


async def _redeploy_and_push(stage: Stage) -> None:
    """Push again as soon as the server has died."""
    await redeploy(stage)
    await stage.server.died()
    await stage.publish()


async def _is_live_with(stage: Stage, text: str) -> None:
    await stage.server.deployed(await stage.newest())
    assert await stage.server.visit(stage.name) == (200, text)
    await is_whole(stage.server)


async def _lines(stage: Stage, words: str) -> list[str]:
    """The lines of the newest deployment's build log that have these words."""
    logs = await stage.server.api("GET", f"/api/v1/deployments/{await stage.newest()}/logs", expect=200)
    return [line for line in logs["build_log"].splitlines() if words in line]
