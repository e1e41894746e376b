"""Is the server able to do its whole work? Liveness is the process itself; readiness asks its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from stackyn_server.errors import StackynError

Check = Callable[[], Awaitable[None]]

_CHECK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the server can do its whole work, part by part: `parts` maps a part's name to a word or sentence."""

    is_ready: bool
    parts: dict[str, str]


class Health:
    """Asks every part. A check raises `StackynError` with the sentence to show; one that hangs is not ready."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def __call__(self) -> Readiness:
        states = await asyncio.gather(*(self._state(check) for check in self._checks.values()))
        parts = dict(zip(self._checks, states, strict=True))
        return Readiness(all(state == "ok" for state in states), parts)

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
