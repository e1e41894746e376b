from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from stackyn_server import config
from stackyn_server.jobs.supervisor import Supervisor
from stackyn_server.store.installation import LeadershipLost
from tests.patience import patient

QUICK = config.JobsSettings(pause_first_seconds=0.001, pause_longest_seconds=0.01)


async def eventually(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), patient(5))


async def test_a_task_that_dies_is_started_again_and_reported() -> None:
    alive = asyncio.Event()
    starts = 0

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts <= 3:
            raise KeyError("no text of an error is shown")
        alive.set()
        await asyncio.Event().wait()

    supervisor = Supervisor(QUICK)
    with capture_logs() as log:
        supervisor.start("sampler", work)
        await eventually(alive)
    reports = [(each["event"], each["task"], each["deaths"]) for each in log]
    assert reports == [("task.died", "sampler", deaths) for deaths in (1, 2, 3)]
    await supervisor.stop()


async def test_tasks_stop_one_by_one_in_reverse_order() -> None:
    steps: list[str] = []
    supervisor = Supervisor(QUICK)

    def task(name: str):  # type: ignore[no-untyped-def]
        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                steps.append(f"{name} stops")
                await asyncio.sleep(0.01)
                steps.append(f"{name} stopped")

        return work

    for name in ("first", "second"):
        supervisor.start(name, task(name))
    await asyncio.sleep(0)
    await supervisor.stop()
    assert steps == ["second stops", "second stopped", "first stops", "first stopped"]


async def test_a_task_is_over_when_it_returns_or_loses_leadership() -> None:
    starts: list[str] = []

    async def returns() -> None:
        starts.append("returns")

    async def loses() -> None:
        starts.append("loses")
        raise LeadershipLost

    supervisor = Supervisor(QUICK)
    supervisor.start("returns", returns)
    supervisor.start("loses", loses)
    tasks = [task for task in asyncio.all_tasks() if task.get_name() in ("returns", "loses")]
    await asyncio.wait_for(asyncio.gather(*tasks), patient(5))
    assert starts == ["returns", "loses"]
    await supervisor.stop()


async def test_a_name_is_taken_once() -> None:
    supervisor = Supervisor(QUICK)
    supervisor.start("one", asyncio.Event().wait)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one"):
        supervisor.start("one", asyncio.Event().wait)  # type: ignore[arg-type]
    await supervisor.stop()
    supervisor.start("one", asyncio.Event().wait)  # type: ignore[arg-type]
    await supervisor.stop()


async def test_the_task_carries_its_name() -> None:
    names: list[str] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())

    supervisor = Supervisor(QUICK)
    supervisor.start("sampler", work)
    await asyncio.sleep(0)
    await supervisor.stop()
    assert names == ["sampler"]
