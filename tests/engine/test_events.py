"""The events of containers arrive in time, and again after the connection was lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from stackyn_server.engine import containers, events
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.events import Action, EngineEvent
from tests.engine.conftest import SOCKET
from tests.patience import within

Spec = Callable[..., ContainerSpec]


class EventRecorder:
    """Watches the engine, and keeps its events."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.received: list[EngineEvent] = []
        self._news = asyncio.Condition()

    async def record(self) -> None:
        async with aclosing(events.watch(self._engine)) as stream:
            async for event in stream:
                async with self._news:
                    self.received.append(event)
                    self._news.notify_all()

    async def until(self, condition: Callable[[list[EngineEvent]], bool]) -> None:
        async with within(20), self._news:
            await self._news.wait_for(lambda: condition(self.received))

    def actions_of(self, container: str) -> list[Action]:
        return [event.action for event in self.received if event.container == container]


def resyncs(count: int) -> Callable[[list[EngineEvent]], bool]:
    return lambda received: sum(event.action is Action.RESYNC for event in received) >= count


@pytest.fixture
async def recorder(engine: Engine) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(engine)
    task = asyncio.create_task(recorder.record())
    await recorder.until(resyncs(1))
    yield recorder
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_events_have_the_instance_and_the_exit_code(
    engine: Engine, spec: Spec, recorder: EventRecorder
) -> None:
    container_spec = spec(command="sh -c 'exit 5'")
    container = await containers.start(engine, container_spec)
    await engine.ask(engine.docker.containers.container(container).wait())
    await containers.remove(engine, container)

    await recorder.until(lambda received: Action.DESTROY in recorder.actions_of(container))

    assert recorder.actions_of(container) == [Action.START, Action.DIE, Action.DESTROY]
    died = next(
        event for event in recorder.received if event.action is Action.DIE and event.container == container
    )
    assert (died.instance, died.app, died.exit_code) == (container_spec.instance, container_spec.app, 5)
    assert died.at is not None and died.at.tzinfo is not None


async def test_a_flood_of_equal_events_is_told_once(
    engine: Engine, spec: Spec, recorder: EventRecorder
) -> None:
    greedy = "while :; do tail -c 100m /dev/zero; done"
    container = await containers.start(engine, spec(command=greedy, memory_mb=16))
    await recorder.until(lambda received: Action.OUT_OF_MEMORY in recorder.actions_of(container))
    await containers.remove(engine, container)
    await recorder.until(lambda received: Action.DESTROY in recorder.actions_of(container))

    actions = recorder.actions_of(container)
    assert all(first != second for first, second in itertools.pairwise(actions)), actions


async def test_events_of_a_lost_connection_come_after_a_resync(
    engine: Engine, spec: Spec, tmp_path: Path
) -> None:
    async with Relay(tmp_path / "relay.sock") as relay:
        settings = engine.settings.model_copy(update={"socket": tmp_path / "relay.sock"})
        async with Engine(settings, engine.network, engine.labels.installation) as listening:
            recorder = EventRecorder(listening)
            task = asyncio.create_task(recorder.record())
            try:
                await recorder.until(resyncs(1))
                before = await containers.start(engine, spec())
                await recorder.until(lambda received: Action.START in recorder.actions_of(before))

                await relay.cut()
                meanwhile = await containers.start(engine, spec())
                await relay.mend()

                await recorder.until(resyncs(2))
                await recorder.until(lambda received: Action.START in recorder.actions_of(meanwhile))
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    assert recorder.actions_of(before) == [Action.START], "nothing is told twice"
    order = [event.action for event in recorder.received]
    assert order.index(Action.RESYNC, 1) < len(order) - 1


async def test_another_installations_containers_are_not_heard(engine: Engine, spec: Spec) -> None:
    async with Engine(engine.settings, engine.network, "somebody-else") as other_engine:
        recorder = EventRecorder(other_engine)
        task = asyncio.create_task(recorder.record())
        await recorder.until(resyncs(1))
        ours = EventRecorder(engine)
        our_task = asyncio.create_task(ours.record())
        await ours.until(resyncs(1))
        container = await containers.start(engine, spec())
        await ours.until(lambda received: Action.START in ours.actions_of(container))
        for listener in (task, our_task):
            listener.cancel()
        await asyncio.gather(task, our_task, return_exceptions=True)

    assert [event.action for event in recorder.received] == [Action.RESYNC]


class Relay:
    """A socket in front of the engine's, which can be cut."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Relay:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def mend(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(SOCKET)
        self._writers |= {writer, far_writer}
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(_pump(source, target))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65536):
            target.write(piece)
            await target.drain()
    except OSError:
        pass
    finally:
        target.transport.abort()
