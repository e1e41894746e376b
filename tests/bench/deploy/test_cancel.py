"""Cancelled, or deleted, in any phase, a deployment is gone within 2 seconds: its job, its processes and its place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.crash.audit import is_whole, until_idle
from tests.e2e.cancelling import (
    End,
    cancel,
    cancel_in,
    delete,
    delete_in,
    end_a_build,
    server_without_deadlines,
)
from tests.e2e.holdable_app import HoldableApp, HoldableServer
from tests.e2e.phase_holds import HOLDS
from tests.git_server import GitServer
from tests.server_process import running

GONE_SECONDS = 2.0

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
async def holdable(git: GitServer) -> AsyncIterator[HoldableServer]:
    async with server_without_deadlines(git) as holdable:
        yield holdable


@pytest.mark.parametrize("end", [cancel, delete])
async def test_an_ended_build_is_gone_within_2_seconds(git: GitServer, end: End) -> None:
    async with running() as server:
        assert await end_a_build(server, git, end) < GONE_SECONDS


@pytest.mark.parametrize("end", [cancel_in, delete_in])
@pytest.mark.parametrize("phase", HOLDS)
async def test_ended_in_a_phase_it_is_gone_within_2_seconds(
    holdable: HoldableServer, phase: str, end: Callable[[HoldableApp, str, int], Awaitable[float]]
) -> None:
    app = holdable.new_app()
    await app.go_live()
    async with HOLDS[phase](app) as deployment:
        seconds = await end(app, phase, deployment)
    assert seconds < GONE_SECONDS
    await until_idle(app.server)
    await is_whole(app.server)
