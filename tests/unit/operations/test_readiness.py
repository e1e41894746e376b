"""Asking whether the server is ready costs the same for one and for a thousand."""

from __future__ import annotations

import asyncio

from stackyn_server.errors import StackynError
from stackyn_server.jobs.periodic import PeriodicReport
from stackyn_server.operations.readiness import ReadinessCheck


class Part:
    def __init__(self) -> None:
        self.checked = 0
        self.answer = asyncio.Event()
        self.problem = ""

    async def check(self) -> None:
        self.checked += 1
        await self.answer.wait()
        if self.problem:
            raise StackynError(self.problem)


async def no_chores() -> list[PeriodicReport]:
    return []


async def test_those_who_ask_at_the_same_time_share_one_check() -> None:
    part = Part()
    ready = ReadinessCheck({"part": part.check}, no_chores)
    asking = [asyncio.create_task(ready()) for _ in range(1000)]
    await asyncio.sleep(0)
    asking.pop().cancel()  # whoever hangs up takes it from nobody
    part.answer.set()
    assert {answer.is_ready for answer in await asyncio.gather(*asking)} == {True}
    assert part.checked == 1
    part.problem = "It broke."
    assert (await ready()).parts["part"] == "It broke."
    assert part.checked == 2
