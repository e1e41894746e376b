"""Trials on one server: each kills it during a scenario, and then looks through all of the installation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Set
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType

from tests.crash.app_under_test import AppUnderTest, visited
from tests.crash.audit import is_whole, until_idle
from tests.crash.kills import Ask, kill_at_each, queue_stays_as_it_is, start
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running


class KillTrials:
    """A trial that succeeded leaves its server and its app to the next one. After a failure both are made anew, so that
    each failure is its own."""

    def __init__(self, git: GitServer) -> None:
        self._git = git
        self._opened = AsyncExitStack()
        self._server: ServerProcess | None = None
        self._bystander: AppUnderTest | None = None  # serves all the time, and no scenario changes it
        self._reusable: list[AppUnderTest] = []

    async def __aenter__(self) -> KillTrials:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    @asynccontextmanager
    async def app_for(self, scenario: str) -> AsyncIterator[AppUnderTest]:
        """Yield an app for one scenario; afterwards the whole installation must agree on what was asked of it."""
        try:
            app = await self._app(is_new=scenario == "first deploy")
            async with queue_stays_as_it_is(app.server):
                yield app
            await is_whole(app.server)
            await _has_ended_well(app)
        except BaseException:
            await self._close()
            raise
        if not app.is_deleted:
            self._reusable.append(app)

    async def kill(self, app: AppUnderTest, points: Set[str], ask: Ask, then: Ask | None = None) -> None:
        """Ask, kill the server at each of the points, ask `then`, and wait until it is idle, under visits."""
        await self._visited(app, lambda: kill_at_each(app.server, points, ask), then)

    async def pass_none(self, app: AppUnderTest, points: Set[str], ask: Ask) -> None:
        """As `kill`, but none of the points may be passed."""

        async def ask_once() -> None:
            await app.server.stop()
            await start(app.server, points)
            await ask()

        await self._visited(app, ask_once, None)
        assert app.server.process is not None and app.server.process.returncode is None

    async def _visited(self, app: AppUnderTest, act: Ask, then: Ask | None) -> None:
        assert self._bystander is not None
        app.serves = app.id != 0
        async with visited(app, self._bystander) as failures:
            await act()
            if then is not None:
                await then()
            await until_idle(app.server)
        assert failures == []

    async def _app(self, *, is_new: bool) -> AppUnderTest:
        if self._server is None:
            self._server = await self._opened.enter_async_context(running())
            self._bystander = AppUnderTest(self._server, self._git)
            await self._bystander.go_live()
        if is_new or not self._reusable:
            app = AppUnderTest(self._server, self._git)
            if not is_new:
                await app.go_live()
                await until_idle(self._server)
            return app
        return self._reusable.pop()

    async def _close(self) -> None:
        if self._server is not None:
            await self._server.kill()  # in the middle of anything
        await self._opened.aclose()
        self._opened, self._server, self._bystander, self._reusable = AsyncExitStack(), None, None, []


async def _has_ended_well(app: AppUnderTest) -> None:
    """Beyond what holds for every installation: this app says what was asked for, or nothing of it is there."""
    server = app.server
    if app.is_deleted:
        await server.api("GET", f"/api/v1/apps/{app.id}", expect=404)
    else:
        assert (await server.api("GET", f"/api/v1/apps/{app.id}", expect=200))["status"] == "running"
        assert await server.visit(app.name) == (200, app.expected)
