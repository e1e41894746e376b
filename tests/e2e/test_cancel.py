"""Cancelled, or deleted, in any phase: what it ran is gone, its place is free, and what served goes on serving.

`tests/bench/deploy/test_cancel.py` asserts the 2 seconds in which all that happens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.crash.audit import is_whole, until_idle
from tests.e2e.cancelling import End, cancel, cancel_in, delete, end_a_build, server_without_deadlines
from tests.e2e.holdable_app import HoldableApp
from tests.e2e.phase_holds import HOLDS
from tests.git_server import GitServer
from tests.server_process import ServerProcess


@pytest.fixture(scope="module")
async def serving(git: GitServer) -> AsyncIterator[HoldableApp]:
    """One app that serves, for all that is cancelled: nothing of a cancelled deployment stays."""
    async with server_without_deadlines(git) as server:
        serving = server.new_app()
        await serving.go_live()
        yield serving


@pytest.mark.parametrize("end", [cancel, delete])
async def test_an_ended_build_is_gone_and_its_place_is_free(
    server: ServerProcess, git: GitServer, end: End
) -> None:
    await end_a_build(server, git, end)


@pytest.mark.parametrize("phase", HOLDS)
async def test_cancelled_deploy_leaves_the_serving_release_in_place(serving: HoldableApp, phase: str) -> None:
    async with HOLDS[phase](serving) as deployment:
        await cancel_in(serving, phase, deployment)
    await until_idle(serving.server)
    await is_whole(serving.server)
