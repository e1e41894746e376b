"""Apply one coroutine to many items with bounded concurrency."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def bounded_map(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, at_once: int
) -> list[Result]:
    """Return the results in the order of `items`. The first error cancels the other calls and is raised."""
    semaphore = asyncio.Semaphore(at_once)

    async def call(item: Item) -> Result:
        async with semaphore:
            return await work(item)

    tasks = [asyncio.create_task(call(item), name=work.__qualname__) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
