"""Apply one coroutine to many items with bounded concurrency: each item has a result or a failure of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from stackyn_server.errors import StackynError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Failed:
    """Why an item has no result. `TimeoutError`: it took longer than it may."""

    error: Exception

    @property
    def is_late(self) -> bool:
        return isinstance(self.error, TimeoutError)


async def bounded_map(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, at_once: int, seconds: float
) -> list[Result | Failed]:
    """Return the results and the failures in the order of `items`. Each item may take `seconds`.

    Errors of the outside (`StackynError`, `OSError`) are failures. Any other is a bug: it cancels the other calls and
    is raised.
    """
    semaphore = asyncio.Semaphore(at_once)

    async def call(item: Item) -> Result | Failed:
        async with semaphore:
            try:
                async with asyncio.timeout(seconds):
                    return await work(item)
            except (StackynError, OSError) as error:  # a time-out is an OSError
                return Failed(error)

    tasks = [asyncio.create_task(call(item), name=work.__qualname__) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
