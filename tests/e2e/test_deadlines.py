"""Each step has its deadline: what does not come to an end in time fails, with its cause, and what served goes on."""

from __future__ import annotations

import pytest

from tests.crash.audit import is_whole, until_idle
from tests.e2e.holdable_app import holdable_server
from tests.e2e.phase_holds import HOLDS
from tests.git_server import GitServer

SECONDS = 4  # enough for each phase of a tiny app
CODES = {
    "fetching": "SOURCE_UNREACHABLE",
    "planning": "INTERNAL",
    "building": "BUILD_TIMEOUT",
    "releasing": "RELEASE_FAILED",
    "booting": "ENGINE_UNAVAILABLE",
    "probing": "APP_NOT_LISTENING",
    "switching": "SWITCH_FAILED",
}


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_what_hangs_in_a_phase_fails_at_its_deadline(git: GitServer) -> None:
    deadlines = dict.fromkeys(CODES, SECONDS)
    async with holdable_server(git, deadlines=deadlines, ingress={"confirm_seconds": 2 * SECONDS}) as server:
        app = server.new_app()
        await app.go_live()
        for phase, code in CODES.items():
            async with HOLDS[phase](app) as deployment:
                failed = await app.server.deployed(deployment, "failed", seconds=3 * SECONDS)
                assert (failed["failure"]["code"], failed["failure"]["phase"]) == (code, phase), failed
            assert await app.server.visit(app.name) == (200, app.serves)
        await until_idle(app.server)
        await is_whole(app.server)
