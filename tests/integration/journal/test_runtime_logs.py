"""What apps write is stored once, before it is lost, and read from both places by time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stackyn_server import config
from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.journal.runtime_log_keeper import RuntimeLogKeeper
from stackyn_server.journal.runtime_logs import RuntimeLogs
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.teardown.take_down import take_down
from stackyn_server.store import instances, logs, routes
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.failures import DatabaseUnavailable
from tests.integration.pipeline.parts import a_context
from tests.patience import within
from tests.rows import a_deployment, a_release, an_app
from tests.scripted_engine import ScriptedContainer, ScriptedEngine


class Running:
    """An app with instances whose containers are scripted."""

    def __init__(self, database: Database, scripted: ScriptedEngine, engine: Engine) -> None:
        self.database, self.scripted, self.engine = database, scripted, engine
        self.settings = config.Settings()
        self.app = AppId(0)
        self.deployments: list[DeploymentId] = []

    @property
    def keeper(self) -> RuntimeLogKeeper:
        return RuntimeLogKeeper(self.database, self.engine, self.settings)

    @property
    def logs(self) -> RuntimeLogs:
        return RuntimeLogs(self.database, self.engine)

    async def instance(self, *, of_a_deployment: bool = True) -> tuple[InstanceId, ScriptedContainer]:
        """Add an instance that serves now, of a deployment of its own; else as a wake makes it."""
        async with self.database.transaction() as connection:
            if not self.deployments:
                self.app_row = await an_app(connection)
                self.app = self.app_row.id
            if of_a_deployment:
                deployment = await a_deployment(connection, self.app_row)
                self.deployments.append(deployment.id)
                self.release = await a_release(connection, deployment)
            instance = await instances.insert(
                connection, self.app, self.release.id, self.deployments[-1] if of_a_deployment else None
            )
            assert instance is not None
            await instances.set_container(connection, instance.id, f"c{instance.id}")
            await instances.set_up(connection, instance.id)
            await routes.want(connection, self.app, instance.id)
            await routes.serve(connection, self.app, instance.id)
        return instance.id, self.scripted.add(instance.id)

    async def gone(self, instance: InstanceId) -> None:
        """Take an instance down, as each job does that ends one."""
        last = await take_down(self.engine, instance, 0, self.keeper)
        async with self.database.transaction() as connection:
            await last.record(connection, instance)

    async def stored(self) -> list[str]:
        async with self.database.connection() as connection:
            lines = await logs.newest_runtime(connection, self.app, None, 10**9)
        return [line.text for line in lines]

    async def read(self, deployment: DeploymentId | None = None, **options: Any) -> list[str]:
        log = await self.logs.read(self.app, deployment, **{"tail": 100, **options})
        return [line.text for line in log.lines]


@pytest.fixture
async def running(database: Database, tmp_path: Path) -> AsyncIterator[Running]:
    async with (
        ScriptedEngine(tmp_path / "engine.sock").serving() as scripted,
        scripted.client(silence_seconds=0.2) as engine,
    ):
        yield Running(database, scripted, engine)


async def test_output_is_stored_once_however_often_it_is_kept(running: Running) -> None:
    instance, container = await running.instance()
    container.write("one", 1000)
    container.write("two", 2000, "stderr")
    for _ in range(2):
        await running.keeper.keep(instance, container.id)  # each by another server
    container.write("three", 3000)
    await asyncio.gather(*(running.keeper.keep(instance, container.id) for _ in range(3)))
    assert await running.stored() == ["one", "two", "three"]


async def test_lines_keep_their_time_and_stream(running: Running) -> None:
    instance, container = await running.instance()
    container.write("out", 1_700_000_000_123_456_789)
    container.write("err", 1_700_000_000_123_456_790, "stderr")
    before = (await running.logs.read(running.app, tail=10)).lines
    await running.gone(instance)
    after = (await running.logs.read(running.app, tail=10)).lines
    assert [(line.nanoseconds % 1000, line.stream) for line in after] == [(789, "stdout"), (790, "stderr")]
    assert before == after


async def test_colours_and_credentials_are_shown_to_nobody(running: Running) -> None:
    instance, container = await running.instance()
    container.write("\x1b[31mred\x1b[0m https://me:secret@host.test/", 1000)
    shown = ["red https://***@host.test/"]
    assert await running.read() == shown
    await running.gone(instance)
    assert await running.read() == shown


async def test_a_killed_take_down_stores_nothing_twice(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server dies after the lines were stored and before the container is removed."""
    instance, container = await running.instance()
    container.write("the last line", 1000)

    async def dies(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr("stackyn_server.pipeline.teardown.take_down.containers.remove", dies)
        with pytest.raises(asyncio.CancelledError):
            await running.gone(instance)
    assert container.id in running.scripted.containers
    await running.gone(instance)
    assert container.id not in running.scripted.containers
    assert await running.stored() == ["the last line"]


async def test_what_is_written_while_it_stops_is_stored_too(running: Running) -> None:
    instance, container = await running.instance()
    container.write("serving", 1000)
    container.says_at_its_end = ("stopping", 2000)
    await running.gone(instance)
    assert await running.stored() == ["serving", "stopping"]


async def test_what_an_ended_container_wrote_outlives_its_replacement(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair, a wake and another attempt at a boot start the instance's container again."""
    instance, container = await running.instance()
    container.write("before it ended", 1000)
    container.end()

    async def start(engine: Engine, spec: Any) -> str:
        await containers.remove(engine, container.id)  # as `containers.start` does
        return "another"

    monkeypatch.setattr(containers, "start", start)
    handler = JobHandler(a_context(running.database, engine=running.engine, log_keeper=running.keeper))
    assert await handler._start_container(cast(Any, SimpleNamespace(instance=instance))) == "another"
    assert await running.stored() == ["before it ended"]


async def test_a_log_that_hangs_keeps_no_container(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = running.engine.settings.model_copy(update={"request_seconds": 1})
    monkeypatch.setattr(running.engine, "settings", quick)
    instance, container = await running.instance()
    container.hangs = True
    async with within(5):
        await running.gone(instance)
    assert container.id not in running.scripted.containers
    assert running.scripted.requests["read"] == 1, "it is waited for once"


async def test_the_database_is_waited_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    instance, container = await running.instance()
    container.write("kept", 1000)
    transaction, failures = running.database.transaction, iter([True, True])

    @asynccontextmanager
    async def away() -> AsyncIterator[Connection]:
        if next(failures, False):
            raise DatabaseUnavailable
        async with transaction() as connection:
            yield connection

    monkeypatch.setattr(running.database, "transaction", away)
    await running.gone(instance)
    assert await running.stored() == ["kept"]


async def test_an_app_keeps_so_many_bytes_over_all_its_instances(running: Running) -> None:
    apps_settings = running.settings.apps.model_copy(update={"log_keep_bytes": 40_000})
    running.settings = running.settings.model_copy(update={"apps": apps_settings})
    for number in range(4):
        instance, container = await running.instance()
        for line in range(20):
            container.write(f"{number} {line} {'x' * 1000}", 1000 * (number * 100 + line))
        await running.gone(instance)
    lines = await running.stored()
    assert (lines[0][:4], lines[-1][:5]) == ("2 0 ", "3 19 ")
    assert sum(len(line) + 1 for line in lines) >= 40_000


async def test_readers_merge_what_is_stored_and_what_runs_by_time(running: Running) -> None:
    old, old_container = await running.instance()
    old_container.write("old 1", 1000)
    _, new_container = await running.instance()
    new_container.write("new 2", 2000)
    old_container.write("old 3", 3000)  # while it drains
    new_container.write("new 4", 4000)
    everything = ["old 1", "new 2", "old 3", "new 4"]
    assert await running.read() == everything
    await running.gone(old)
    assert await running.read() == everything
    assert await running.read(tail=2) == everything[2:]
    assert await running.read(since=2000) == everything[2:]
    assert await running.read(running.deployments[0]) == ["old 1", "old 3"]
    assert await running.read(running.deployments[1]) == ["new 2", "new 4"]


async def test_what_a_wake_started_belongs_to_the_live_deployment(running: Running) -> None:
    first, container = await running.instance()
    container.write("before the sleep", 1000)
    await running.gone(first)
    second, container = await running.instance(of_a_deployment=False)
    container.write("after it", 2000)
    assert await running.read(running.deployments[0]) == ["before the sleep", "after it"]
    await running.gone(second)
    assert await running.read(running.deployments[0]) == ["before the sleep", "after it"]


async def test_a_take_down_between_two_reads_hides_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, container = await running.instance()
    container.write("there all the time", 1000)
    present = RuntimeLogs.present

    async def taken_down_before(self: RuntimeLogs, *arguments: Any, **options: Any) -> Any:
        await running.gone(instance)
        return await present(self, *arguments, **options)

    monkeypatch.setattr(RuntimeLogs, "present", taken_down_before)
    assert await running.read() == ["there all the time"]


async def test_an_engine_that_hangs_leaves_what_is_stored(running: Running) -> None:
    first, container = await running.instance()
    container.write("stored", 1000)
    await running.gone(first)
    _, container = await running.instance()
    container.hangs = True
    async with within(5):
        assert await running.read() == ["stored"]


async def test_lines_of_before_this_release_are_readable(running: Running) -> None:
    """Their times were not stored: a migration took them over from the instances' rows."""
    await running.instance()
    async with running.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO log_chunk (app, deployment, kind, content) VALUES ($1, $2, 'runtime', $3)",
            running.app,
            running.deployments[0],
            "same\nsame\nother\n",
        )
    assert await running.read() == ["same", "same", "other"]
