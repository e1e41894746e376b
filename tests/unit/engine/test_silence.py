"""No stream of the engine is waited for without an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from stackyn_server.engine import containers, events, logs
from stackyn_server.engine.errors import EngineSilent
from stackyn_server.engine.events import Action
from tests.patience import within
from tests.scripted_engine import ScriptedEngine

QUICK = {"request_seconds": 1, "silence_seconds": 0.2}


@pytest.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[ScriptedEngine]:
    async with ScriptedEngine(tmp_path / "engine.sock").serving() as serving:
        yield serving


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_log_that_hangs_is_given_up(scripted: ScriptedEngine, at_once: bool) -> None:
    scripted.hangs_at_once = at_once
    container = scripted.add(1)
    container.write("never read", 10)
    container.hangs = True
    async with within(5), scripted.client(**QUICK) as engine:
        with pytest.raises(EngineSilent):
            await containers.last_lines(engine, container.id)


async def test_a_silent_follower_ends_and_goes_on_from_its_line(scripted: ScriptedEngine) -> None:
    container = scripted.add(1)
    container.write("one", 10)
    async with within(5), scripted.client(**QUICK) as engine:
        first = [line async for line in logs.read(engine, container.id, follow=True)]
        container.write("two", 20)
        since = first[-1].nanoseconds
        second = [line async for line in logs.read(engine, container.id, follow=True, since=since)]
    assert [line.text for line in first + second] == ["one", "two"]


async def test_silent_events_are_asked_for_again_without_a_resync(scripted: ScriptedEngine) -> None:
    received: list[Action] = []

    async def record() -> None:
        async with scripted.client(**QUICK) as engine, aclosing(events.watch(engine)) as watched:
            async for event in watched:
                received.append(event.action)

    recording = asyncio.create_task(record())
    async with within(5):
        while scripted.requests["events"] < 3:
            await scripted.asked.wait()
            scripted.asked.clear()
    recording.cancel()
    await asyncio.wait([recording])
    assert received == [Action.RESYNC]
