"""The zero test: under constant load through the real ingress, deploys in a row fail no request.

What a replacement of the ingress itself costs is measured here too, and printed.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter

import pytest

from tests.git_server import GitServer
from tests.load.generator import VISITORS, Report, VisitPlan
from tests.load.running import BAD, LoadedApp, Visitors, print_report, visitors
from tests.server_process import ServerProcess, docker, proxies

FEW, MANY = 500, 100_000
DEPLOYS, KILLS = 50, 10
KILL_SEED = 12
LATEST_KILL_SECONDS = 8.0  # after the wish: a deploy is surely live by then
REPLACED_BY_MB = 257  # another memory limit of the ingress is another container
# What the old proxy closes: a kept connection in the instant in which a request is on its way, at most once for each
# visitor, and the neighbour's long ones after its grace.
MOST_FAILURES_OF_A_REPLACEMENT = {"websocket": 1, "events": 1} | {
    kind: VISITORS[kind] for kind in ("kept", "post", "slow")
}


_names = itertools.count(1)


@pytest.fixture(scope="module")
async def chat(careful_server: ServerProcess, git: GitServer) -> LoadedApp:
    """The neighbour, of which the visitors hold a WebSocket and an event stream."""
    return LoadedApp(careful_server, git, "chat")


@pytest.fixture
async def shop(careful_server: ServerProcess, git: GitServer, chat: LoadedApp) -> LoadedApp:
    new_shop = LoadedApp(careful_server, git, f"shop-{next(_names)}")
    await asyncio.gather(*(app.create() for app in (new_shop, chat) if not app.id))
    return new_shop


def _plan(shop: LoadedApp, chat: LoadedApp) -> VisitPlan:
    return VisitPlan(shop.server.ingress_port, shop.host, chat.host)


async def test_no_request_fails_over_deploys_and_a_rollback(shop: LoadedApp, chat: LoadedApp) -> None:
    async with visitors(_plan(shop, chat)) as load:
        await load.until_answered(FEW, seconds=30)
        await shop.deploy()
        await shop.deploy("leaves")
        await shop.roll_back(to=0)
        await load.until_answered(FEW, seconds=30)

    _none_failed(load.report)
    assert set(load.report.releases) == {"0", "1"}, "release 2 was bad"


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_fifty_deploys_fail_none_of_100_000_requests(
    shop: LoadedApp, chat: LoadedApp, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    healthy = {"0"}
    async with visitors(_plan(shop, chat)) as load:
        for behaviour in itertools.cycle(_turns()):
            await shop.deploy(behaviour)
            if behaviour == "good":
                healthy.add(str(shop.number))
            if shop.number >= DEPLOYS and load.answered >= MANY:
                break

    print_report(capsys, f"{shop.number} deploys in {time.monotonic() - began:.0f} s", load.report)
    _none_failed(load.report)
    assert set(load.report.releases) == healthy, "every good release served, and no bad one"


def _turns() -> list[str]:
    """Each kind of bad release between good ones."""
    return [behaviour for bad in BAD for behaviour in ("good", bad, "good")]


@pytest.mark.full
@pytest.mark.timeout(1800)
async def test_a_server_killed_in_the_middle_of_deploys_fails_none(
    shop: LoadedApp, chat: LoadedApp, capsys: pytest.CaptureFixture[str]
) -> None:
    server, chance = shop.server, random.Random(KILL_SEED)
    began = time.monotonic()
    async with visitors(_plan(shop, chat)) as load:
        for number in range(KILLS):
            deployment = await shop.ask_for()
            moment = number * LATEST_KILL_SECONDS / KILLS + chance.random()
            await asyncio.sleep(moment)  # the kill is to come at any moment, not at a chosen one
            await server.kill()
            await load.until_answered(FEW, seconds=60)
            await server.start()
            await server.deployed(deployment)

    print_report(capsys, f"{KILLS} kills and deploys in {time.monotonic() - began:.0f} s", load.report)
    _none_failed(load.report)
    assert set(load.report.releases) == {str(number) for number in range(KILLS + 1)}


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_what_a_replacement_of_the_ingress_costs(
    shop: LoadedApp, chat: LoadedApp, capsys: pytest.CaptureFixture[str]
) -> None:
    server = shop.server
    before = await proxies(server)
    await server.stop()
    config = server.config.read_text()
    server.config.write_text(config.replace("[ingress]\n", f"[ingress]\nmemory_mb = {REPLACED_BY_MB}\n"))
    try:
        async with visitors(_plan(shop, chat)) as load:
            await load.until_answered(FEW, seconds=30)
            await server.start()
            await server.until(lambda: _replaced(server, before), 60, "another proxy serves alone")
            await _settled(load)
    finally:
        server.config.write_text(config)
        await server.stop()
        await server.start()

    print_report(capsys, "ingress replaced side by side", load.report)
    assert load.report.failed <= Counter(MOST_FAILURES_OF_A_REPLACEMENT), load.report.failures
    assert {failure["status"] for failure in load.report.failures} <= {0}, "nothing was answered wrongly"


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_what_the_death_of_the_ingress_costs(
    shop: LoadedApp, chat: LoadedApp, capsys: pytest.CaptureFixture[str]
) -> None:
    server = shop.server
    async with visitors(_plan(shop, chat)) as load:
        await load.until_answered(FEW, seconds=30)
        proxy, *_ = await proxies(server)
        pid = await docker("inspect", "--format", "{{.State.Pid}}", proxy)
        await asyncio.create_subprocess_exec("kill", "-KILL", pid.strip())
        await _settled(load)

    print_report(capsys, "ingress killed, brought back by the engine", load.report)
    lost = [failure for failure in load.report.failures if failure["status"] not in (0, 404)]
    assert lost == [], "nobody else answers, and no app says an error"


async def _settled(load: Visitors) -> None:
    """Wait until a good while has passed without a further failure."""
    failed = -1
    while failed != load.failed:
        failed = load.failed
        await load.until_answered(2 * FEW, seconds=120)


async def _replaced(server: ServerProcess, before: list[str]) -> bool:
    now = await proxies(server)
    return len(now) == 1 and now != before


def _none_failed(report: Report) -> None:
    """Zero failed, every long connection whole, and not one kept connection dropped by the proxy."""
    assert report.failures == []
    expected = {"websocket": 1, "events": 1} | {kind: VISITORS[kind] for kind in ("kept", "post", "slow")}
    assert {kind: report.connections[kind] for kind in expected} == expected
