"""Who may go on at a held app, decided without a moment in which two can decide differently."""

from __future__ import annotations

import asyncio

import pytest

from stackyn_server.domain.ids import AppId
from stackyn_server.pipeline.idle.held_requests import HeldRequests, HoldDecision

APP = AppId(7)


@pytest.fixture
def held_requests() -> HeldRequests:
    return HeldRequests()


async def test_an_unknown_app_waits_until_its_gate_opens(held_requests: HeldRequests) -> None:
    assert held_requests.ask(APP) is HoldDecision.WAIT
    with held_requests.waiting_place(APP) as hold:
        waiting = asyncio.ensure_future(hold.until_decided())
        await asyncio.sleep(0)
        assert not waiting.done()
        held_requests.pass_all(APP)
        assert await waiting is HoldDecision.PASS
    assert held_requests.ask(APP) is HoldDecision.PASS


async def test_a_gate_that_somebody_went_through_is_not_shut(held_requests: HeldRequests) -> None:
    held_requests.pass_all(APP)
    assert held_requests.ask(APP) is HoldDecision.PASS
    assert not held_requests.hold_if_unused(APP)
    assert held_requests.ask(APP) is HoldDecision.PASS


async def test_a_gate_that_nobody_went_through_is_shut(held_requests: HeldRequests) -> None:
    held_requests.pass_all(APP)
    assert held_requests.hold_if_unused(APP)
    assert held_requests.ask(APP) is HoldDecision.WAIT


async def test_somebody_who_waits_keeps_the_gate_from_being_shut(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP):
        assert not held_requests.hold_if_unused(APP)


async def test_a_forgotten_gate_lets_everybody_go_on_who_waits(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP) as hold:
        held_requests.forget(APP)
        assert await hold.until_decided() is HoldDecision.PASS
    assert held_requests.waiting(APP) == 0


async def test_who_is_refused_may_try_again_after_a_while(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP) as hold:
        held_requests.refuse(APP, 0.02)
        assert await hold.until_decided() is HoldDecision.REFUSE
    assert held_requests.ask(APP) is HoldDecision.REFUSE
    await asyncio.sleep(0.03)
    assert held_requests.ask(APP) is HoldDecision.WAIT


async def test_a_server_that_stops_sends_everybody_away(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP) as hold:
        held_requests.close()
        assert await hold.until_decided() is HoldDecision.REFUSE
    assert held_requests.ask(APP) is HoldDecision.REFUSE


async def test_who_has_left_is_not_counted(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP), held_requests.waiting_place(APP):
        assert held_requests.waiting(APP) == 2
    assert held_requests.waiting(APP) == 0
    assert not held_requests.is_used(APP)
