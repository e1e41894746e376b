"""What is promised to one app that starts is not promised to another."""

from __future__ import annotations

import asyncio

import pytest

from stackyn_server.domain.ids import AppId
from stackyn_server.engine import host_memory
from stackyn_server.pipeline.rollout.memory_reservations import MemoryReservations

SHOP, CHAT = AppId(1), AppId(2)
FREE = 300


@pytest.fixture
def reservations(monkeypatch: pytest.MonkeyPatch) -> MemoryReservations:
    monkeypatch.setattr(host_memory, "available_mb", lambda: FREE)
    return MemoryReservations()


async def test_two_starts_at_once_do_not_reserve_the_same_memory(
    reservations: MemoryReservations,
) -> None:
    async def starts(app: AppId) -> bool:
        has_room = await reservations.available_mb(app) >= 256
        if has_room:
            reservations.reserve(app, 256)
        return has_room

    assert sorted(await asyncio.gather(starts(SHOP), starts(CHAT))) == [False, True]


async def test_reservation_is_not_counted_against_its_own_app(reservations: MemoryReservations) -> None:
    reservations.reserve(SHOP, 256)
    reservations.reserve(SHOP, 200)

    assert await reservations.available_mb(SHOP) == FREE
    assert await reservations.available_mb(CHAT) == FREE - 200


async def test_reservation_ends_with_the_start(reservations: MemoryReservations) -> None:
    with pytest.raises(ZeroDivisionError), reservations.while_starting(SHOP):
        reservations.reserve(SHOP, 256)
        raise ZeroDivisionError

    assert await reservations.available_mb(CHAT) == FREE
