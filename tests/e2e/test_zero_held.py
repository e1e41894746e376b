"""The zero test for held requests: under load, neither swaps in place nor wakes fail one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.git_server import GitServer
from tests.load.generator import Report, VisitPlan
from tests.load.running import LoadedApp, print_report, visitors
from tests.server_process import ServerProcess, containers_of, running

SWAPS, WAKES = 10, 10
BAD_SWAPS = {3: "crashes", 7: "leaves"}  # by the number of the swap
ANSWERS = 300  # between two swaps, and of each wake
NO_SLEEP = {"STACKYN_APPS__IDLE_MINUTES": "0"}
NO_MEMORY_LEFT = {**NO_SLEEP, "STACKYN_APPS__MEMORY_RESERVE_MB": str(2**30)}


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running(
        **{
            "plans.pro": {"always_on": False, "zero_downtime": False},
            "apps": {
                "idle_minutes": 1 / 30,
                "drain_seconds": 30,
                "stop_grace_seconds": 10,
                "default_cpu": 1.0,
            },
            "reconcile": {"idle_seconds": 0.5},
            "probe": {"steady_seconds": 3},
        }
    ) as server:
        yield server


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_ten_swaps_in_place_under_load_fail_none(
    server: ServerProcess, git: GitServer, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, chat = LoadedApp(server, git, "shop"), LoadedApp(server, git, "chat")
    await _start_again(server, NO_SLEEP)
    await shop.create()
    await chat.create()
    await _start_again(server, NO_MEMORY_LEFT)
    async with visitors(VisitPlan(server.ingress_port, shop.host, chat.host)) as load:
        for number in range(SWAPS):
            await load.until_answered(ANSWERS, seconds=60)
            await shop.deploy(BAD_SWAPS.get(number, "good"))
    print_report(capsys, f"{SWAPS} swaps in place, {len(BAD_SWAPS)} of them of bad releases", load.report)
    assert load.report.failed.total() == 0, load.report.failures[:20]
    good = {str(number + 1) for number in range(SWAPS) if number not in BAD_SWAPS}
    assert set(load.report.releases) == {"0", *good}


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_ten_wakes_by_a_crowd_fail_none(
    server: ServerProcess, git: GitServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await _start_again(server, {})
    nap, total = LoadedApp(server, git, "nap"), Report()
    await nap.create()
    for _ in range(WAKES):
        await server.until(lambda: _is_asleep(server, nap), 60, "the app sleeps")
        async with visitors(VisitPlan(server.ingress_port, nap.host)) as load:
            await load.until_answered(ANSWERS, seconds=60)
        total.answers += load.report.answers
        total.failed += load.report.failed
        total.failures += load.report.failures
        for kind, seconds in load.report.slowest.items():
            total.slowest[kind] = max(total.slowest.get(kind, 0), seconds)
    print_report(capsys, f"{WAKES} wakes", total)
    assert total.failed.total() == 0, total.failures[:20]


async def _start_again(server: ServerProcess, environment: dict[str, str]) -> None:
    await server.stop()
    server.environment = environment
    await server.start()


async def _is_asleep(server: ServerProcess, app: LoadedApp) -> bool:
    return not await containers_of(server, app.id)
