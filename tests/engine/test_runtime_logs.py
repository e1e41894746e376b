"""What real containers write outlives them, and is followed over their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from stackyn_server import config
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.domain.logs import LogLine
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.journal.runtime_followers import RuntimeFollowers
from stackyn_server.journal.runtime_log_keeper import RuntimeLogKeeper
from stackyn_server.journal.runtime_logs import RuntimeLogs
from stackyn_server.pipeline.teardown.take_down import take_down
from stackyn_server.services.runtime_log_stream import follow_runtime_log
from stackyn_server.store import instances, routes
from stackyn_server.store.database import Database
from tests.engine.parts import eventually
from tests.patience import within
from tests.rows import a_deployment, a_release, an_app

Spec = Callable[..., ContainerSpec]


class App:
    """An app whose instances run in real containers."""

    def __init__(self, database: Database, engine: Engine, spec: Spec) -> None:
        self.database, self.engine, self._spec = database, engine, spec
        self.settings = config.Settings()
        self.keeper = RuntimeLogKeeper(database, engine, self.settings)
        self.logs = RuntimeLogs(database, engine)
        self.app = AppId(0)

    async def serve(self, script: str) -> tuple[InstanceId, str]:
        """Deploy: start an instance that runs `script`, and lead the route to it."""
        async with self.database.transaction() as connection:
            if not self.app:
                self.row = await an_app(connection)
                self.app = self.row.id
            release = await a_release(connection, await a_deployment(connection, self.row))
            instance = await instances.insert(connection, self.app, release.id, release.deployment)
            assert instance is not None
        container = await containers.start(self.engine, self._spec(command=script, instance=instance.id))
        async with self.database.transaction() as connection:
            await instances.set_container(connection, instance.id, container)
            await instances.set_up(connection, instance.id)
            await routes.want(connection, self.app, instance.id)
            await routes.serve(connection, self.app, instance.id)
        return instance.id, container

    async def retire(self, instance: InstanceId) -> None:
        last = await take_down(self.engine, instance, 5, self.keeper)
        async with self.database.transaction() as connection:
            await last.record(connection, instance)

    async def read(self) -> list[str]:
        return [line.text for line in (await self.logs.read(self.app, tail=100_000)).lines]


@pytest.fixture
async def app(database: Database, engine: Engine, spec: Spec) -> AsyncIterator[App]:
    yield App(database, engine, spec)


async def test_a_log_survives_its_container_with_what_it_said_last(app: App) -> None:
    trapping = "trap 'echo told to stop; exit 0' TERM; echo up; while :; do usleep 20000; done"
    instance, container = await app.serve(trapping)
    await eventually(app.read, ["up"])
    await app.retire(instance)
    assert await containers.inspect(app.engine, container) is None
    assert await app.read() == ["up", "told to stop"]


async def test_both_of_the_rotated_files_are_kept(app: App) -> None:
    """A file holds 10 MB: this is more than one, and less than two."""
    line = "x" * 1000
    count = 12_000
    instance, container = await app.serve(f"yes {line} | head -n {count}; echo done; sleep 1000")
    await eventually(lambda: containers.last_lines(app.engine, container, 1), "done", 30)
    await app.retire(instance)
    async with app.database.connection() as connection:
        stored = await connection.fetchval("SELECT sum(octet_length(content)) FROM log_chunk")
    limit = app.settings.apps.log_keep_bytes
    assert limit <= stored <= limit + 64 * 1024
    assert (await app.read())[-1] == "done"


async def test_a_reader_goes_on_over_a_deploy(app: App) -> None:
    old, _ = await app.serve("echo old; sleep 1000")
    await eventually(app.read, ["old"])
    followers = RuntimeFollowers(app.database, app.engine, app.settings)
    source = follow_runtime_log(followers, app.logs, app.app, since=None, tail=10)
    async with aclosing(source), within(20):
        assert _texts(await anext(source)) == ["old"]
        await app.serve("echo new; sleep 0.5; echo newer; sleep 1000")
        await app.retire(old)
        lines: list[LogLine] = []
        while len(lines) < 2:
            lines += await anext(source)
        assert _texts(lines) == ["new", "newer"]


async def test_a_silent_container_is_followed_without_repetition(
    app: App, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream is opened again many times while it says nothing."""
    quick = engine.settings.model_copy(update={"silence_seconds": 0.2})
    monkeypatch.setattr(engine, "settings", quick)
    await app.serve("echo one; sleep 1; echo two; sleep 1; echo three; sleep 1000")
    followers = RuntimeFollowers(app.database, app.engine, app.settings)
    source = follow_runtime_log(followers, app.logs, app.app, since=None, tail=10)
    lines: list[LogLine] = []
    async with aclosing(source), within(20):
        while len(lines) < 3:
            lines += await anext(source)
    assert _texts(lines) == ["one", "two", "three"]


async def test_lines_before_a_crash_and_after_it_are_stored_once(app: App) -> None:
    """The engine starts it again, and its log goes on."""
    instance, container = await app.serve("echo begun; usleep 300000; echo crashing; exit 1")
    await containers.set_restart(app.engine, container, on=True)

    async def crashes() -> bool:
        return (await app.read()).count("crashing") >= 2

    await eventually(crashes, True, 20)
    await app.keeper.keep(instance, container)
    stored = (await app.read()).count("begun")
    await eventually(lambda: _more(app, stored), True, 20)
    await app.retire(instance)
    lines = await app.read()
    assert lines == ["begun", "crashing"] * (len(lines) // 2) + ["begun"] * (len(lines) % 2)


async def _more(app: App, than: int) -> bool:
    return (await app.read()).count("begun") > than


def _texts(lines: list[LogLine]) -> list[str]:
    return [line.text for line in lines]
