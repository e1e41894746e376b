"""The owner of every lasting task. A task that dies is started again, and its death is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from stackyn_server import config
from stackyn_server.pause import Pause
from stackyn_server.store.installation import LeadershipLost

log = structlog.get_logger()

Run = Callable[[], Awaitable[object]]


class Supervisor:
    """Owns named tasks; stops them in the reverse order of their start.

    A task that raises is started again after a pause that grows while it keeps dying. A task is over when it returns,
    and when it raises `LeadershipLost`, which ends the whole server.
    """

    def __init__(self, settings: config.JobsSettings) -> None:
        self._settings = settings
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, run: Run) -> None:
        """Start a task. `run` is called again after a death. Raises ValueError for a name that is taken."""
        if name in self._tasks:
            raise ValueError(f"a task named {name} exists already")
        self._tasks[name] = asyncio.create_task(self._keep_running(name, run), name=name)

    async def stop(self) -> None:
        """Cancel the tasks in the reverse order of their start, and wait for each before the next."""
        while self._tasks:
            _, task = self._tasks.popitem()
            task.cancel()
            await asyncio.wait((task,))

    async def _keep_running(self, name: str, run: Run) -> None:
        loop, pause, deaths = asyncio.get_running_loop(), Pause.of(self._settings), 0
        while True:
            began = loop.time()
            try:
                await run()
                return
            except LeadershipLost:
                return
            except Exception:
                deaths += 1
                log.exception("task.died", task=name, deaths=deaths)
            if loop.time() - began > self._settings.pause_longest_seconds:
                pause.reset()
            await pause.wait()
