"""Cold start of an idle app: time from the first request to its complete response, through the real proxy."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from tests.bench.machine import machine
from tests.git_server import GitServer
from tests.server_process import ServerProcess, containers_of, running
from tests.tiny import tiny_app

WAKES = 20
LONGEST_SECONDS = 10.0  # on a loaded machine


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_wake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waited: list[float] = []
    rare = {"apps": {"idle_minutes": 1 / 60}, "reconcile": {"idle_seconds": 0.5}}
    async with (
        GitServer(tmp_path / "git") as git,
        running(**{"plans.pro": {"always_on": False}, **rare}) as server,
    ):
        app, _ = await server.deploy(git, "nap", tiny_app("awake"), "nap")
        for _ in range(WAKES):
            await server.until(lambda: _is_asleep(server, app), 60, "the app sleeps")
            began = time.monotonic()
            assert await server.visit("nap") == (200, "awake")
            waited.append(time.monotonic() - began)
    where = await machine()
    p95 = statistics.quantiles(waited, n=20)[-1]
    with capsys.disabled():
        print(
            f"\n{WAKES} wakes of a tiny app: {statistics.median(waited):.2f} s (median), {p95:.2f} s (p95), "
            f"{max(waited):.2f} s (longest); {where}"
        )
    assert p95 < LONGEST_SECONDS


async def _is_asleep(server: ServerProcess, app: int) -> bool:
    return not await containers_of(server, app)
