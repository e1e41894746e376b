"""What was finished before a kill is not done again: the commit that was recorded, the image that was built."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.commands import containers_of_commands
from tests.crash.app_under_test import AppUnderTest, redeploy, redeploy_with_command
from tests.crash.audit import is_whole
from tests.crash.kills import kill_at_each
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker, running


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running() as server:
        yield server


async def test_a_recorded_commit_is_built_despite_newer_pushes(server: ServerProcess, git: GitServer) -> None:
    app = AppUnderTest(server, git)
    await app.go_live()
    await kill_at_each(server, {"build.planning"}, lambda: _redeploy_and_push(app))
    await _is_live_with(app, "2")


async def test_an_image_once_built_is_not_built_again(server: ServerProcess, git: GitServer) -> None:
    app = AppUnderTest(server, git)
    await app.go_live()
    await kill_at_each(server, {"build.image"}, lambda: redeploy(app))
    await _is_live_with(app, "2")
    assert await _lines(app, "The image was built before the interruption.")
    assert len(await _lines(app, "COPY busybox")) <= 1, "the last lines before a kill may be lost"


async def test_a_release_command_that_was_started_is_waited_for(
    server: ServerProcess, git: GitServer
) -> None:
    app = AppUnderTest(server, git)
    await app.go_live()
    points = {"releasing.created", "releasing.started", "releasing.ended"}
    await kill_at_each(server, points, lambda: redeploy_with_command(app))
    await _is_live_with(app, "2")
    assert len([line for line in await _lines(app, "run ") if line.startswith("run ")]) == 1


async def test_a_release_command_whose_end_nobody_saw_is_not_repeated(
    server: ServerProcess, git: GitServer
) -> None:
    app = AppUnderTest(server, git)
    await app.go_live()
    await kill_at_each(server, {"releasing.started"}, lambda: _redeploy_and_lose_command(app))
    newest = await app.newest()
    failed = await server.deployed(newest, "failed")
    assert failed["failure"]["code"] == "RELEASE_FAILED"
    assert "before it was known how it ended" in failed["failure"]["message"]
    assert await server.visit(app.name) == (200, "1")
    await is_whole(server)


async def _redeploy_and_lose_command(app: AppUnderTest) -> None:
    """Remove the command's container as soon as the server has died."""
    await redeploy_with_command(app)
    await app.server.died()
    (container,) = await containers_of_commands(app.server)
    await docker("rm", "-f", container)


async def _redeploy_and_push(app: AppUnderTest) -> None:
    """Push again as soon as the server has died."""
    await redeploy(app)
    await app.server.died()
    await app.publish()


async def _is_live_with(app: AppUnderTest, text: str) -> None:
    await app.server.deployed(await app.newest())
    assert await app.server.visit(app.name) == (200, text)
    await is_whole(app.server)


async def _lines(app: AppUnderTest, words: str) -> list[str]:
    """The lines of the newest deployment's build log that have these words."""
    logs = await app.server.api("GET", f"/api/v1/deployments/{await app.newest()}/logs", expect=200)
    return [line for line in logs["build_log"].splitlines() if words in line]
