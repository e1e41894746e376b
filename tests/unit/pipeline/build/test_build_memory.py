"""Builds that together would use more memory than the machine has."""

from __future__ import annotations

import asyncio

from stackyn_server.domain.ids import DeploymentId
from stackyn_server.pipeline.build.build_memory import Shares


async def test_who_wants_more_than_is_left_waits_in_turn() -> None:
    shares, waiting, done = Shares(), [], []

    async def build(number: int, amount: int) -> None:
        owner = DeploymentId(number)
        await shares.take(owner, amount, 1000, lambda: waiting.append(number))
        done.append(number)

    await build(1, 600)
    large, small = asyncio.create_task(build(2, 900)), asyncio.create_task(build(3, 100))
    await _turns()
    assert (done, waiting) == ([1], [2]), "a small one does not overtake"

    await shares.give_back(DeploymentId(1))
    await asyncio.gather(large, small)
    assert done == [1, 2, 3]


async def test_one_that_is_larger_than_all_gets_its_turn_alone() -> None:
    shares = Shares()
    await shares.take(DeploymentId(1), 5000, 1000, lambda: None)
    waiting = asyncio.create_task(shares.take(DeploymentId(2), 1, 1000, lambda: None))
    await _turns()
    assert not waiting.done()
    waiting.cancel()
    await shares.give_back(DeploymentId(2))  # it has nothing
    await shares.give_back(DeploymentId(1))
    await asyncio.wait_for(shares.take(DeploymentId(3), 1, 1000, lambda: None), 1)


async def _turns() -> None:
    """Let every task go on as far as it can: none here waits for anything but the others."""
    for _ in range(20):
        await asyncio.sleep(0)
