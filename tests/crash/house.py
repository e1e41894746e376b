"""A server with apps in mid-life, on which one kill after another is tried, and all of it looked through after each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Set
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType

from tests.crash.audit import is_whole, until_idle
from tests.crash.kills import Ask, kill_at_each, queue_stays_as_it_is, start
from tests.crash.stage import Stage, visited
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running


class House:
    """What went well is used for the next performance: the server, and an app that still runs. After one that did not,
    everything is made anew, so that each failure is its own."""

    def __init__(self, git: GitServer) -> None:
        self._git = git
        self._opened = AsyncExitStack()
        self._server: ServerProcess | None = None
        self._bystander: Stage | None = None  # serves all the time, and has nothing to do with any of it
        self._resting: list[Stage] = []

    async def __aenter__(self) -> House:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    @asynccontextmanager
    async def performance(self, scenario: str) -> AsyncIterator[Stage]:
        """A stage for one scenario; afterwards the whole installation must agree on what was asked of it."""
        try:
            stage = await self._stage(is_new=scenario == "first deploy")
            async with queue_stays_as_it_is(stage.server):
                yield stage
            await is_whole(stage.server)
            await _has_ended_well(stage)
        except BaseException:
            await self._close()
            raise
        if not stage.is_deleted:
            self._resting.append(stage)

    async def kill(self, stage: Stage, points: Set[str], ask: Ask, then: Ask | None = None) -> None:
        """Ask, be killed at each of the points, go on (with what is asked `then`) and become idle, with visitors."""
        await self._visited(stage, lambda: kill_at_each(stage.server, points, ask), then)

    async def spare(self, stage: Stage, points: Set[str], ask: Ask) -> None:
        """As `kill`, but none of the points may be passed."""

        async def ask_once() -> None:
            await stage.server.stop()
            await start(stage.server, points)
            await ask()

        await self._visited(stage, ask_once, None)
        assert stage.server.process is not None and stage.server.process.returncode is None

    async def _visited(self, stage: Stage, act: Ask, then: Ask | None) -> None:
        assert self._bystander is not None
        stage.serves = stage.app != 0
        async with visited(stage, self._bystander) as failures:
            await act()
            if then is not None:
                await then()
            await until_idle(stage.server)
        assert failures == []

    async def _stage(self, *, is_new: bool) -> Stage:
        if self._server is None:
            self._server = await self._opened.enter_async_context(running())
            self._bystander = Stage(self._server, self._git)
            await self._bystander.go_live()
        if is_new or not self._resting:
            stage = Stage(self._server, self._git)
            if not is_new:
                await stage.go_live()
                await until_idle(self._server)
            return stage
        return self._resting.pop()

    async def _close(self) -> None:
        if self._server is not None:
            await self._server.kill()  # whatever it is at
        await self._opened.aclose()
        self._opened, self._server, self._bystander, self._resting = AsyncExitStack(), None, None, []


async def _has_ended_well(stage: Stage) -> None:
    """Beyond what holds for every installation: this app says what was asked for, or nothing of it is there."""
    server, app = stage.server, stage.app
    if stage.is_deleted:
        await server.api("GET", f"/api/v1/apps/{app}", expect=404)
    else:
        assert (await server.api("GET", f"/api/v1/apps/{app}", expect=200))["status"] == "running"
        assert await server.visit(stage.name) == (200, stage.expected)
