"""News inside the process."""

from __future__ import annotations

import asyncio

from stackyn_server.domain.ids import AppId
from stackyn_server.journal.bulletin import Bulletin, Lagged, Notice


def moved(app: int) -> Notice:
    return Notice("deployment.moved", app=AppId(app))


async def test_a_reader_hears_what_it_wants_in_order_until_the_close() -> None:
    bulletin = Bulletin()
    with bulletin.subscribe(lambda notice: notice.app != 2) as news:
        for app in (1, 2, 3):
            bulletin.post(moved(app))
        bulletin.close()
        assert [notice async for notice in news] == [moved(1), moved(3)]


async def test_a_slow_reader_is_told_how_much_it_missed_and_goes_on() -> None:
    bulletin = Bulletin()
    with bulletin.subscribe(kept=2) as slow, bulletin.subscribe() as quick:
        for app in (1, 2, 3, 4):
            bulletin.post(moved(app))
        bulletin.close()
        assert [notice async for notice in slow] == [Lagged(2), moved(3), moved(4)]
        assert [notice async for notice in quick] == [moved(1), moved(2), moved(3), moved(4)]


async def test_a_waiting_reader_wakes_at_a_post() -> None:
    bulletin = Bulletin()
    with bulletin.subscribe() as news:
        waiting = asyncio.ensure_future(anext(aiter(news)))
        await asyncio.sleep(0)
        assert not waiting.done()
        bulletin.post(moved(1))
        assert await waiting == moved(1)


async def test_a_reader_that_left_holds_nothing() -> None:
    bulletin = Bulletin()
    with bulletin.subscribe() as news:
        pass
    bulletin.post(moved(1))
    news.end()
    assert [notice async for notice in news] == []


async def test_a_subscription_after_the_close_ends_at_once() -> None:
    bulletin = Bulletin()
    bulletin.close()
    with bulletin.subscribe() as news:
        assert [notice async for notice in news] == []
