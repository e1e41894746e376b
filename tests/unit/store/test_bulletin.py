"""News inside the process."""

from __future__ import annotations

import asyncio

from stackyn_server.store.bulletin import Bulletin, Lagged


async def test_a_reader_hears_what_it_wants_in_order() -> None:
    bulletin: Bulletin[int] = Bulletin()
    with bulletin.subscribe(lambda number: number != 2) as news:
        for number in (1, 2, 3):
            bulletin.post(number)
        assert [await news.next(), await news.next()] == [1, 3]


async def test_a_slow_reader_is_told_how_much_it_missed_and_goes_on() -> None:
    bulletin: Bulletin[int] = Bulletin()
    with (
        bulletin.subscribe(lambda _: True, kept=2) as slow,
        bulletin.subscribe(lambda _: True) as quick,
    ):
        for number in (1, 2, 3, 4):
            bulletin.post(number)
        assert [await slow.next() for _ in range(3)] == [Lagged(2), 3, 4]
        assert [await quick.next() for _ in range(4)] == [1, 2, 3, 4]


async def test_a_waiting_reader_wakes_at_a_post() -> None:
    bulletin: Bulletin[int] = Bulletin()
    with bulletin.subscribe(lambda _: True) as news:
        waiting = asyncio.ensure_future(news.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        bulletin.post(1)
        assert await waiting == 1


async def test_a_wait_ends_at_its_time() -> None:
    bulletin: Bulletin[int] = Bulletin()
    with bulletin.subscribe(lambda _: True) as news:
        assert await news.next(asyncio.get_running_loop().time() + 0.01) is None


async def test_a_reader_that_left_hears_nothing() -> None:
    bulletin: Bulletin[int] = Bulletin()
    with bulletin.subscribe(lambda _: True) as news:
        pass
    bulletin.post(1)
    assert await news.next(asyncio.get_running_loop().time()) is None
