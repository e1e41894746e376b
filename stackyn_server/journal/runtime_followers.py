"""Follow what apps write: one stream of the engine for each container, shared by all who read it.

An app's follower goes on with the next container that serves the app, after a deploy, a sleep or a repair, and with the
previous one until that is removed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.logs import LogLine
from stackyn_server.domain.notices import Notice, RouteChanged, Unclear
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable
from stackyn_server.engine.logs import read_batches
from stackyn_server.engine.timestamps import NANOSECONDS, from_nanoseconds
from stackyn_server.journal.runtime_logs import ENGINE_SECONDS, as_shown
from stackyn_server.pause import Pause
from stackyn_server.store import instances
from stackyn_server.store.bulletin import Bulletin, BulletinReader
from stackyn_server.store.database import Database
from stackyn_server.store.failures import DatabaseUnavailable

log = structlog.get_logger(__name__)

# Of one container; nobody reads faster. A line costs about 20 µs of the loop, a MiB of them about 120 ms.
_LINES_PER_SECOND, _BYTES_PER_SECOND = 2000, 1024**2
_KEPT_FOR_A_READER = 16  # pieces of at most 200 lines
_FARTHEST_BEHIND_NANOSECONDS = 10 * NANOSECONDS
_LEFT_OUT = "[Lines are missing here: they came faster than they can be shown.]"


@dataclass(frozen=True, slots=True)
class Written:
    """Lines that a container wrote, in their order."""

    container: str
    lines: list[LogLine]


class RuntimeFollowers:
    def __init__(self, database: Database, engine: Engine, settings: Settings) -> None:
        self._database = database
        self._engine = engine
        self._settings = settings
        self._of_app: dict[AppId, AppFollower] = {}

    @asynccontextmanager
    async def following(self, app: AppId) -> AsyncIterator[BulletinReader[Written]]:
        """Yield a reader of what the app writes from now on; in the block no line is missed, if the engine answers."""
        follower = self._of_app.get(app)
        if follower is None:
            follower = self._of_app[app] = AppFollower(self._database, self._engine, self._settings, app)
        follower.readers += 1
        try:
            with follower.written.subscribe(lambda _: True, kept=_KEPT_FOR_A_READER) as written:
                with suppress(TimeoutError):
                    async with asyncio.timeout(ENGINE_SECONDS):
                        await follower.opened.wait()
                yield written
        finally:
            follower.readers -= 1
            if not follower.readers:
                del self._of_app[app]
                await follower.close()


class AppFollower:
    """Follows the containers of one app from its making until `close`."""

    def __init__(self, database: Database, engine: Engine, settings: Settings, app: AppId) -> None:
        self._database = database
        self._engine = engine
        self._settings = settings
        self._app = app
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by container
        self.readers = 0
        self.written: Bulletin[Written] = Bulletin()
        self.opened = asyncio.Event()
        self._watching = asyncio.create_task(self._watch(), name=f"runtime_log.{app}")

    async def close(self) -> None:
        self._watching.cancel()
        await asyncio.wait({self._watching})

    async def _watch(self) -> None:
        """Follow the container that serves the app, and each one after it from its beginning."""
        loop, pause, is_first = asyncio.get_running_loop(), Pause.of(self._settings.jobs), True
        try:
            with self._database.bulletin.subscribe(self._is_wanted) as news:
                while True:
                    try:
                        async with self._database.connection() as connection:
                            serving = await instances.of_route(connection, self._app)
                        self._follow(serving.container if serving else None, from_beginning=not is_first)
                        is_first = False
                        pause.reset()
                    except DatabaseUnavailable as error:
                        log.warning("runtime_log.unwatched", app=self._app, reason=error.message)
                        await pause.wait()
                        continue
                    await news.next(loop.time() + self._settings.streams.reread_seconds)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _is_wanted(self, notice: Notice) -> bool:
        return notice.app == self._app and isinstance(notice, (RouteChanged, Unclear))

    def _follow(self, container: str | None, *, from_beginning: bool) -> None:
        for name, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[name]
                if (error := task.exception()) is not None:
                    log.error("runtime_log.broke", app=self._app, exc_info=error)
        if container is None:
            self.opened.set()
        elif container not in self._tasks:
            work = self._read(container, from_beginning=from_beginning)
            self._tasks[container] = asyncio.create_task(work, name=f"runtime_log.{self._app}.{container}")

    async def _read(self, container: str, *, from_beginning: bool) -> None:
        """Post what the container writes until it is removed. A stream that ends or hangs is opened again."""
        pause = Pause.of(self._settings.jobs)
        since = 0 if from_beginning else None
        while True:
            began = time.time_ns()
            tail = 0 if since is None else None
            try:
                since = await self._post(container, since, tail)
                since = began if since is None else since
                state = await containers.inspect(self._engine, container)
                if state is None:
                    return
                if state.running:
                    pause.reset()
            except (EngineUnavailable, EngineRefused) as error:
                since = began if since is None else since
                log.debug("runtime_log.lost", app=self._app, reason=error.reason)
            await pause.wait()

    async def _post(self, container: str, since: int | None, tail: int | None) -> int | None:
        """Read until the stream ends, and return the time of the last line. Lines that come faster than they are read
        are left out as soon as reading is 10 s farther behind than at its begin."""
        least_behind: int | None = None
        async with aclosing(
            read_batches(self._engine, container, follow=True, since=since, tail=tail, opened=self.opened)
        ) as batches:
            async for batch in batches:
                since = max(since or 0, *(line.nanoseconds for line in batch))
                behind = time.time_ns() - since
                least_behind = behind if least_behind is None else min(behind, least_behind)
                self.written.post(Written(container, [as_shown(line) for line in batch]))
                if behind - least_behind > _FARTHEST_BEHIND_NANOSECONDS:
                    now = time.time_ns()
                    gap = LogLine(from_nanoseconds(now), now, "stderr", _LEFT_OUT)
                    self.written.post(Written(container, [gap]))
                    return now
                size = sum(len(line.text) for line in batch)
                await asyncio.sleep(max(len(batch) / _LINES_PER_SECOND, size / _BYTES_PER_SECOND))
        return since
