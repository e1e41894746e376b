"""Two releases that start at the same moment, on a machine with memory for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stackyn_server.engine.host_memory import available_mb
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running
from tests.tiny import SERVE, tiny_app

MEMORY_MB = 4096  # so much that what else goes on on this machine doesn't matter
SLOW_START = f"/bin/busybox sleep 3\n{SERVE}"
APPS = ("one", "two")


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running(
        **{
            "plans.pro": {"zero_downtime": True, "max_ram_mb": 4 * MEMORY_MB},
            "apps": {"default_memory_mb": MEMORY_MB},
            "retries": {"attempts": 12, "first_seconds": 0.5, "longest_seconds": 2},
        }
    ) as server:
        yield server


async def test_one_starts_and_the_other_waits_for_its_turn(server: ServerProcess, git: GitServer) -> None:
    apps = []
    for name in APPS:
        url, _ = await git.publish(name, tiny_app(name, start=SLOW_START))
        app, deployment = await server.create(url, name)
        apps.append(app)
        await server.deployed(deployment)
    free_mb = MEMORY_MB * 3 // 2
    await server.stop()
    server.environment = {
        "STACKYN_APPS__MEMORY_RESERVE_MB": str(await asyncio.to_thread(available_mb) - free_mb)
    }
    await server.start()

    asked = await asyncio.gather(
        *(server.api("POST", f"/api/v1/apps/{app}/restart", expect=201) for app in apps)
    )
    deployments = [answer["deployment"]["id"] for answer in asked]

    async def takes_turns() -> bool:
        shown = [
            await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
            for deployment in deployments
        ]
        waits = ["not enough free memory" in str(view["waiting"]) for view in shown]
        starts = [view["phase"] in ("booting", "probing") for view in shown]
        assert starts != [True, True], "both start"
        return sorted(waits) == sorted(starts) == [False, True]

    await server.until(takes_turns, 30, "one starts while the other says that it waits for memory")
    for deployment in deployments:
        await server.deployed(deployment)
