"""What the platform adds to a deploy: ours against the same by hand, with the same builder, in one run."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stackyn_server.config import Settings
from tests.bench.deploy.by_hand import ByHand, by_hand
from tests.bench.machine import machine
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running
from tests.tiny import tiny_app

RUNS = 5
GOAL_SECONDS = 0.5  # above the same by hand, before a redeploy's steady time
SAME_COMMIT_SECONDS = 2.0


class Ours:
    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._app = 0

    async def create(self, url: str, name: str, greeting: str) -> float:
        began = time.monotonic()
        self._app, deployment = await self._server.create(url, name)
        await self._until_answered(name, greeting)
        seconds = time.monotonic() - began
        await self._server.deployed(deployment)
        return seconds

    async def redeploy(self, name: str, greeting: str) -> float:
        began = time.monotonic()
        path = f"/api/v1/apps/{self._app}/redeploy"
        deployment = (await self._server.api("POST", path, expect=201))["deployment"]["id"]
        await self._until_answered(name, greeting)
        seconds = time.monotonic() - began
        await self._server.deployed(deployment)
        return seconds

    async def redeploy_unchanged(self) -> float:
        """Until it is called live: the answer stays the same."""
        began = time.monotonic()
        path = f"/api/v1/apps/{self._app}/redeploy"
        await self._server.deployed((await self._server.api("POST", path, expect=201))["deployment"]["id"])
        return time.monotonic() - began

    async def _until_answered(self, slug: str, greeting: str) -> None:
        async def answers() -> bool:
            return await self._server.visit(slug) == (200, greeting)

        await self._server.until(answers, 120, f"{slug} answers {greeting}")


@pytest.mark.full
@pytest.mark.timeout(1200)
async def test_deploy_against_the_same_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [await machine(), f"POST (or clone) to first answer, medians of {RUNS}, alternating; seconds:"]
    # Without the steady time, which a redeploy has on purpose.
    probe = {"steady_seconds": 0, "known_steady_seconds": 0}
    async with (
        GitServer(tmp_path / "git") as git,
        running(probe=probe, apps={"default_cpu": 0.5}) as server,
        by_hand(Settings(), tmp_path) as hands,
    ):
        ours = Ours(server)
        await server.until(lambda: ingress_answers(server), 60, "the ingress is there")

        async def publish(name: str) -> tuple[str, str]:
            greeting = f"hello {uuid.uuid4().hex}"
            url, _ = await git.publish(name, tiny_app(greeting))
            return url, greeting

        cold = await _cold(ours, hands, publish)
        lines.append(f"  cold cache: ours {cold[0]:.2f}, by hand {cold[1]:.2f}, {_compared(*cold)} (one run)")
        changed: tuple[list[float], list[float]] = ([], [])
        same: tuple[list[float], list[float]] = ([], [])
        for _ in range(RUNS):
            url, greeting = await publish("bench")
            changed[0].append(await ours.redeploy("bench", greeting))
            changed[1].append(await hands.deploy(url, greeting))
            same[0].append(await ours.redeploy_unchanged())
            same[1].append(await hands.deploy(url, greeting))
    medians = [tuple(map(statistics.median, pair)) for pair in (changed, same)]
    for what, (mine, theirs) in zip(("one changed file", "same commit"), medians, strict=True):
        lines.append(f"  {what}: ours {mine:.2f}, by hand {theirs:.2f}, {_compared(mine, theirs)}")
    lines.append(
        f"  goals: +{GOAL_SECONDS} s; the same commit within {SAME_COMMIT_SECONDS:.0f} s, without a build"
    )
    with capsys.disabled():
        print("", *lines, sep="\n")


async def _cold(
    ours: Ours, hands: ByHand, publish: Callable[[str], Awaitable[tuple[str, str]]]
) -> tuple[float, float]:
    """Both with an empty cache."""
    url, greeting = await publish("bench")
    return await ours.create(url, "bench", greeting), await hands.deploy(url, greeting)


async def ingress_answers(server: ServerProcess) -> bool:
    status, _ = await server.visit("nobody")
    return status != 0


def _compared(ours: float, by_hand: float) -> str:
    return f"ratio {ours / by_hand:.2f}, {ours - by_hand:+.2f} s"
