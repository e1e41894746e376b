"""One server leads: a second one on the same data directory ends, and says who is there."""

from __future__ import annotations

import asyncio
import sys

from tests.server_process import REPOSITORY, ServerProcess

ALREADY_RUNNING = 75


async def test_second_server_ends_before_it_opens_a_port(server: ServerProcess) -> None:
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stackyn_server", "serve", "--config", str(server.config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=REPOSITORY,
    )
    output, _ = await second.communicate()
    assert second.returncode == ALREADY_RUNNING
    assert server.process is not None
    assert f"Another Stackyn server (process {server.process.pid}, since" in output.decode()
    assert "listen" not in output.decode(), "it would have met the first one's port"
    await server.api("GET", "/api/apps", expect=200)
