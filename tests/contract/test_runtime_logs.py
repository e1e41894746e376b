"""What apps write, as clients get it: while the app runs, after a deploy, and where the plan has no runtime logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import InstanceId
from stackyn_server.journal.runtime_log_keeper import RuntimeLogKeeper
from stackyn_server.pipeline.teardown.take_down import take_down
from stackyn_server.store import deployments, instances
from stackyn_server.store.deployments import Mover
from tests import rows
from tests.contract.conftest import Person, Platform
from tests.contract.test_conventions import is_error
from tests.contract.test_logs import Stream
from tests.contract.test_sign_in import TIME
from tests.scripted_engine import ScriptedContainer, ScriptedEngine

SENTENCE = "Runtime logs are not part of your plan. Choose a larger plan to see them."


class RunningApp:
    def __init__(self, platform: Platform, person: Person, scripted: ScriptedEngine) -> None:
        self.platform, self.person, self.scripted = platform, person, scripted

    async def deploy(self) -> tuple[int, InstanceId, ScriptedContainer]:
        """Have another deployment go live, whose container serves now. The previous one stays for its drain."""
        async with self.platform.database.transaction() as connection:
            if not hasattr(self, "app"):
                self.app = await rows.an_app(connection, self.person.id)
            elif (live := await deployments.live_of_app(connection, self.app.id)) is not None:
                await deployments.advance(connection, live, Phase.REPLACED, Mover(0, "test:1"))
            _, instance = await rows.a_serving_app(connection, self.app)
            await instances.set_container(connection, instance, f"c{instance}")
            live = await deployments.live_of_app(connection, self.app.id)
        assert live is not None
        return live.id, instance, self.scripted.add(instance)

    async def retire(self, instance: InstanceId) -> None:
        keeper = RuntimeLogKeeper(self.platform.database, self.platform.engine, self.platform.settings)
        last = await take_down(self.platform.engine, instance, 0, keeper)
        async with self.platform.database.transaction() as connection:
            await last.record(connection, instance)

    async def runtime_log(self, deployment: int) -> Any:
        return (await self.person.get(f"/api/v1/deployments/{deployment}/logs")).json["runtime_log"]

    async def entries(self, query: str = "") -> Any:
        return (await self.person.get(f"/api/v1/apps/{self.app.id}/logs/runtime{query}")).json

    @asynccontextmanager
    async def following(self, query: str = "", **headers: str) -> AsyncIterator[Stream]:
        path = f"/api/v1/apps/{self.app.id}/logs/runtime/stream{query}"
        sent = {"Authorization": f"Bearer {self.person.token}", "Accept": "text/event-stream", **headers}
        async with self.platform.client.get(path, headers=sent) as response:
            assert (response.status, response.content_type) == (200, "text/event-stream")
            yield Stream(response)


@pytest.fixture
async def running(launch: Callable[..., Awaitable[Platform]], tmp_path: Path) -> AsyncIterator[RunningApp]:
    scripted = ScriptedEngine(tmp_path / "engine.sock", installation="contract-test")
    async with scripted.serving():
        platform = await launch(engine=config.EngineSettings(socket=scripted.socket))
        async with platform.engine:
            yield RunningApp(platform, await platform.person(), scripted)


async def test_the_runtime_log_outlives_its_container(running: RunningApp) -> None:
    deployment, instance, container = await running.deploy()
    container.write("Listening on 8080", 1000)
    container.write("\x1b[31mGET /\x1b[0m", 2000, "stderr")
    assert await running.runtime_log(deployment) == "Listening on 8080\nGET /"
    await running.deploy()
    await running.retire(instance)
    assert await running.runtime_log(deployment) == "Listening on 8080\nGET /"


async def test_pieces_of_the_runtime_log_are_listed_newest_first(running: RunningApp) -> None:
    first, instance, container = await running.deploy()
    container.write("first", 1000)
    second, _, container = await running.deploy()
    await running.retire(instance)
    container.write("second", 2000)
    entries = await running.entries()
    assert [(entry["content"], entry["deployment_id"]) for entry in entries] == [
        ("second\n", second),
        ("first\n", first),
    ]
    assert {entry["log_type"] for entry in entries} == {"runtime"}
    assert (entries[0]["app_id"], entries[0]["size"]) == (running.app.id, 7)
    assert all(TIME.fullmatch(entry["timestamp"]) for entry in entries)
    assert await running.entries("?limit=1&offset=1") == entries[1:]
    assert await running.entries("?offset=2") == []


async def test_a_stream_goes_on_over_a_deploy_and_resumes(running: RunningApp) -> None:
    _, instance, container = await running.deploy()
    container.write("old", 1000)
    async with running.following() as stream:
        old = await stream.next()
        assert old == {"id": "1000", "event": "stdout", "data": "old"}
        _, _, new_container = await running.deploy()
        new_container.write("new", 2000, "stderr")
        assert await stream.next() == {"id": "2000", "event": "stderr", "data": "new"}
        await running.retire(instance)
        new_container.write("newer", 3000)
        assert (await stream.next())["data"] == "newer"
    async with running.following(**{"Last-Event-ID": old["id"]}) as stream:
        assert [(await stream.next())["data"] for _ in range(2)] == ["new", "newer"]


async def test_text_is_streamed_to_those_who_accept_no_events(running: RunningApp) -> None:
    _, _, container = await running.deploy()
    container.write("one", 1000)
    path = f"/api/v1/apps/{running.app.id}/logs/runtime/stream"
    bearer = {"Authorization": f"Bearer {running.person.token}"}
    async with running.platform.client.get(path, headers=bearer) as response:
        assert response.content_type == "text/plain"
        assert await response.content.readline() == b"one\n"


async def test_a_plan_that_loses_runtime_logs_ends_their_streams(running: RunningApp) -> None:
    deployment, _, container = await running.deploy()
    container.write("one", 1000)
    async with running.following() as stream:
        await stream.next()
        await running.platform.services.streams.check()  # ends nothing
        await running.platform.execute("UPDATE account SET plan = 'free' WHERE id = $1", running.person.id)
        await running.platform.services.streams.check()
        assert await stream.next() == {"event": "closing", "data": SENTENCE}
    refused = await running.person.get(f"/api/v1/apps/{running.app.id}/logs/runtime/stream")
    assert is_error(refused, 403, "PLAN_LACKS_FEATURE") and refused.json["error"] == SENTENCE
    assert await running.runtime_log(deployment) == SENTENCE
    assert [entry["content"] for entry in await running.entries()] == [SENTENCE]
    assert await running.entries("?offset=1") == []


async def test_an_engine_that_is_away_delays_no_log_for_long(running: RunningApp) -> None:
    deployment, _, container = await running.deploy()
    container.write("unreadable", 1000)
    container.hangs = True
    assert await running.runtime_log(deployment) is None
