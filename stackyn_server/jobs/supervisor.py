"""The owner of every lasting task. A task that dies is started again, and its death is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from stackyn_server import config
from stackyn_server.pause import Pause
from stackyn_server.store.installation import LeadershipLost

log = structlog.get_logger()

Run = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class TaskReport:
    """State of a task. `last_death` is the class of the task's last error; error texts may contain tenants' data."""

    name: str
    is_running: bool = False
    deaths: int = 0
    last_death: str | None = None
    died_at: datetime | None = None


@dataclass(slots=True)
class _Owned:
    report: TaskReport
    run: Run
    pause: Pause
    task: asyncio.Task[None] | None = field(default=None)


class Supervisor:
    """Owns named tasks; stops them in the reverse order of their start.

    A task that raises is started again after a pause that grows while it keeps dying. A task is over when it returns,
    and when it raises `LeadershipLost`, which ends the whole server.
    """

    def __init__(self, settings: config.JobsSettings) -> None:
        self._settings = settings
        self._owned: dict[str, _Owned] = {}

    def start(self, name: str, run: Run) -> None:
        """Start a task. `run` is called again after a death. Raises ValueError for a name that is taken."""
        if name in self._owned:
            raise ValueError(f"a task named {name} exists already")
        owned = _Owned(TaskReport(name), run, Pause.of(self._settings))
        self._owned[name] = owned
        owned.task = asyncio.create_task(self._keep_running(owned), name=name)

    async def stop(self, name: str | None = None) -> None:
        """Cancel one task, or all in the reverse order of their start, and wait for each before the next."""
        names = [name] if name is not None else list(reversed(self._owned))
        for each in names:
            owned = self._owned.pop(each)
            if owned.task is not None:
                owned.task.cancel()
                await asyncio.wait((owned.task,))

    def report(self) -> list[TaskReport]:
        return [owned.report for owned in self._owned.values()]

    async def _keep_running(self, owned: _Owned) -> None:
        loop, report = asyncio.get_running_loop(), owned.report
        while True:
            began = loop.time()
            report.is_running = True
            try:
                await owned.run()
                return
            except LeadershipLost:
                return
            except Exception as error:
                report.deaths += 1
                report.last_death = type(error).__name__
                report.died_at = datetime.now(UTC)
                log.exception("task.died", task=report.name, deaths=report.deaths)
            finally:
                report.is_running = False
            if loop.time() - began > self._settings.pause_longest_seconds:
                owned.pause.reset()
            await owned.pause.wait()
