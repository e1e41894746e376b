"""Readiness: whether every part of the server works. (Liveness: the process answers.)"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from stackyn_server.errors import StackynError
from stackyn_server.jobs.periodic import PeriodicReport

Check = Callable[[], Awaitable[None]]

_CHECK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the server can do its whole work, part by part: `parts` maps a part's name to a word or sentence.

    `periodic` has how each periodic chore is doing; nothing while the database can't be asked.
    """

    is_ready: bool
    parts: dict[str, str]
    periodic: tuple[PeriodicReport, ...] = ()


class ReadinessCheck:
    """Runs the check of every part, and reports the periodic work. A check raises `StackynError` with the sentence to
    show; a check that hangs counts as failed."""

    def __init__(
        self, checks: Mapping[str, Check], report: Callable[[], Awaitable[Sequence[PeriodicReport]]]
    ) -> None:
        self._checks = checks
        self._report = report
        self._running: asyncio.Task[Readiness] | None = None

    async def __call__(self) -> Readiness:
        """Whoever asks while the checks run gets their result: any number at once costs no more than one."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._check(), name="readiness")
        return await asyncio.shield(self._running)

    async def _check(self) -> Readiness:
        chores: Sequence[PeriodicReport] = ()

        async def punctual() -> None:
            nonlocal chores
            chores = await self._report()
            if late := [chore.name for chore in chores if chore.is_late]:
                raise StackynError(f"Periodic work is late: {', '.join(late)}.")

        checks = {**self._checks, "periodic": punctual}
        states = await asyncio.gather(*map(self._state, checks.values()))
        parts = dict(zip(checks, states, strict=True))
        return Readiness(all(state == "ok" for state in states), parts, tuple(chores))

    @staticmethod
    async def _state(check: Check) -> str:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await check()
        except StackynError as error:
            return error.message
        except TimeoutError:
            return f"It did not answer within {_CHECK_SECONDS:.0f} seconds."
        return "ok"
