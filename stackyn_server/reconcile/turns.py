"""The same work for many apps, a few at a time: a look at a hundred must not be a hundred questions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_turns(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, at_once: int
) -> list[Result]:
    """Return the results in the order of `items`. The first error ends the rest, and is raised."""
    turns = asyncio.Semaphore(at_once)

    async def one(item: Item) -> Result:
        async with turns:
            return await work(item)

    tasks = [asyncio.create_task(one(item), name=f"{work.__qualname__}") for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
