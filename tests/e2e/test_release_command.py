"""The release command runs once, before anything of its release is seen; where it fails, nothing changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.commands import commanding_app, containers_of_commands
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running

NO_MEMORY_LEFT = {"STACKYN_APPS__MEMORY_RESERVE_MB": str(2**30)}
GAP = "[Lines are missing here: the release command wrote more than this log keeps.]"
SOON_ASLEEP = {"STACKYN_APPS__IDLE_MINUTES": "0.05"}


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running(
        **{
            "plans.pro": {"zero_downtime": False, "always_on": False},
            "apps": {"idle_minutes": 0},
            "reconcile": {"idle_seconds": 0.3},
            "deadlines": {"releasing": 4},
            "builds": {"log_limit_bytes": 20_000},
        }
    ) as server:
        yield server


async def test_it_runs_once_before_the_app_with_its_variables(server: ServerProcess, git: GitServer) -> None:
    tree = commanding_app("1", 'echo "migrating $TABLE on $PORT as $(id -u)"; echo careful >&2')
    url, _ = await git.publish("once", tree)
    variables = [{"key": "TABLE", "value": "users"}, {"key": "PORT", "value": "1"}]
    app, deployment = await server.create(url, "once", env_vars=variables)
    await server.deployed(deployment)
    log = await server.build_log(deployment)
    assert log.count("migrating users on 8080 as 1000\n") == 1
    assert log.count("careful\n") == 1
    assert log.index("migrating users") < log.index("Starting the container"), "it ended before the app began"
    assert await server.visit("once") == (200, "1")
    assert await containers_of_commands(server) == []

    for action, body in (("restart", None), ("rollback", {"release": 1})):
        again = await server.api("POST", f"/api/v1/apps/{app}/{action}", body, expect=201)
        await server.deployed(again["deployment"]["id"])
        assert "migrating" not in await server.build_log(again["deployment"]["id"]), (
            "only what was built runs it"
        )


async def test_after_a_failed_one_the_old_release_serves_on(server: ServerProcess, git: GitServer) -> None:
    app = await _live(server, git, "fails")
    failed = await _failed(server, git, "fails", app, "echo migration 7 failed; exit 3")
    assert (failed["code"], failed["phase"]) == ("RELEASE_FAILED", "releasing")
    assert "exited with code 3" in failed["message"]
    assert failed["evidence"] == "migration 7 failed"
    assert await server.visit("fails") == (200, "1")
    assert (await server.api("GET", f"/api/v1/apps/{app}", expect=200))["status"] == "running"
    assert await containers_of_commands(server) == []


async def test_one_that_is_not_there_or_too_slow_fails_too(server: ServerProcess, git: GitServer) -> None:
    app = await _live(server, git, "slow")
    failed = await _failed(server, git, "slow", app, "python manage.py migrate")
    assert "The program python was not found" in failed["message"]
    failed = await _failed(server, git, "slow", app, "echo locked; sleep 600")
    assert "did not end within 4 seconds" in failed["message"]
    assert failed["evidence"] == "locked"
    assert await server.visit("slow") == (200, "1")


async def test_of_too_much_output_the_end_is_kept(server: ServerProcess, git: GitServer) -> None:
    _, deployment = await server.deploy(git, "talks", commanding_app("1", "seq 1 5000; echo over"), "talks")
    lines = (await server.build_log(deployment)).splitlines()
    first, gap, last = (lines.index(text) for text in ("1", GAP, "over"))
    assert first < gap < last < lines.index("The release command has succeeded.")
    assert lines[first:gap] == [str(number) for number in range(1, gap - first + 1)]
    assert lines[last - 1] == "5000"


async def test_a_first_deploy_whose_command_fails_goes_nowhere(server: ServerProcess, git: GitServer) -> None:
    url, _ = await git.publish("nowhere", commanding_app("1", "false"))
    app, deployment = await server.create(url, "nowhere")
    failed = await server.deployed(deployment, "failed")
    assert failed["failure"]["code"] == "RELEASE_FAILED"
    assert "Starting the container" not in await server.build_log(deployment)
    assert (await server.visit("nowhere"))[0] == 404
    assert (await server.api("GET", f"/api/v1/apps/{app}", expect=200))["status"] == "failed"


async def test_before_a_swap_in_place_the_old_release_still_serves(
    server: ServerProcess, git: GitServer
) -> None:
    app = await _live(server, git, "place")
    async with _environment(server, NO_MEMORY_LEFT):
        deployment = await _redeploy(server, git, "place", app, commanding_app("2", "sleep 2; echo migrated"))
        await server.until(lambda: _is(server, deployment, "releasing"), 30, "its command runs")
        assert await server.visit("place") == (200, "1"), "nobody's request is held"
        assert await _is(server, deployment, "releasing")
        await server.deployed(deployment)
        log = await server.build_log(deployment)
        assert log.index("migrated") < log.index("not enough memory to run both")
        assert await server.visit("place") == (200, "2")
        await _failed(server, git, "place", app, "exit 1")
        assert await server.visit("place") == (200, "2")


async def test_an_app_that_sleeps_is_left_alone_until_it_is_done(
    server: ServerProcess, git: GitServer
) -> None:
    app = await _live(server, git, "sleepy")
    async with _environment(server, SOON_ASLEEP):
        for command, answer in (("echo no; exit 1", "1"), ("echo yes", "3")):
            await server.until(lambda: _sleeps(server, app), 60, "it sleeps")
            deployment = await _redeploy(server, git, "sleepy", app, commanding_app("3", command))
            await server.deployed(deployment, "failed" if "exit" in command else "running")
            assert await server.visit("sleepy") == (200, answer)


async def _live(server: ServerProcess, git: GitServer, name: str) -> int:
    """An app that answers `1`."""
    app, _ = await server.deploy(git, name, commanding_app("1", "echo done"), name)
    return app


async def _redeploy(
    server: ServerProcess, git: GitServer, name: str, app: int, tree: dict[str, bytes | str]
) -> int:
    await git.publish(name, tree)
    return await server.redeploy(app)


async def _failed(server: ServerProcess, git: GitServer, name: str, app: int, command: str) -> dict[str, Any]:
    """Return the failure of a redeploy with this release command."""
    deployment = await _redeploy(server, git, name, app, commanding_app("bad", command))
    failure: dict[str, Any] = (await server.deployed(deployment, "failed"))["failure"]
    assert failure["message"] in await server.build_log(deployment)
    return failure


@asynccontextmanager
async def _environment(server: ServerProcess, environment: dict[str, str]) -> AsyncIterator[None]:
    """Have the server run with it meanwhile."""
    for now in (environment, {}):
        await server.stop()
        server.environment = now
        await server.start()
        if now:
            yield


async def _is(server: ServerProcess, deployment: int, phase: str) -> bool:
    view = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
    assert view["status"] == "building" or phase != "releasing" or view["phase"] != "releasing"
    return bool(view["phase"] == phase)


async def _sleeps(server: ServerProcess, app: int) -> bool:
    view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
    return bool(view["phase"] == "sleeping")
