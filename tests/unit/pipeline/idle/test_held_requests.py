"""Who may go on at a held app, decided without a moment in which two can decide differently."""

from __future__ import annotations

import asyncio

import pytest

from stackyn_server.domain.ids import AppId
from stackyn_server.pipeline.idle.held_requests import HeldRequests, HoldDecision
from tests.patience import within

APP = AppId(7)


@pytest.fixture
def held_requests() -> HeldRequests:
    return HeldRequests()


async def test_request_of_an_unknown_app_waits_until_all_pass(held_requests: HeldRequests) -> None:
    assert held_requests.ask(APP) is HoldDecision.WAIT
    with held_requests.waiting_place(APP) as hold:
        waiting = asyncio.ensure_future(hold.until_decided())
        await asyncio.sleep(0)
        assert not waiting.done()
        held_requests.pass_all(APP)
        assert await waiting is HoldDecision.PASS
    assert held_requests.ask(APP) is HoldDecision.PASS


async def test_used_app_is_not_held(held_requests: HeldRequests) -> None:
    held_requests.pass_all(APP)
    assert held_requests.ask(APP) is HoldDecision.PASS
    assert not held_requests.hold_if_unused(APP)
    assert held_requests.ask(APP) is HoldDecision.PASS


async def test_unused_app_is_held(held_requests: HeldRequests) -> None:
    held_requests.pass_all(APP)
    assert held_requests.hold_if_unused(APP)
    assert held_requests.ask(APP) is HoldDecision.WAIT


async def test_waiting_request_keeps_an_app_from_being_held(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP):
        assert not held_requests.hold_if_unused(APP)


async def test_forgetting_a_hold_passes_its_waiting_requests(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP) as hold:
        held_requests.forget(APP)
        assert await hold.until_decided() is HoldDecision.PASS
    assert held_requests.waiting(APP) == 0


async def test_refusal_ends_after_its_seconds(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP) as hold:
        held_requests.refuse(APP, 0.02)
        assert await hold.until_decided() is HoldDecision.REFUSE
    assert held_requests.ask(APP) is HoldDecision.REFUSE
    async with within(5):
        while held_requests.ask(APP) is not HoldDecision.WAIT:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0)


async def test_closing_refuses_every_request(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP) as hold:
        held_requests.close()
        assert await hold.until_decided() is HoldDecision.REFUSE
    assert held_requests.ask(APP) is HoldDecision.REFUSE


async def test_request_that_has_left_is_not_counted(held_requests: HeldRequests) -> None:
    with held_requests.waiting_place(APP), held_requests.waiting_place(APP):
        assert held_requests.waiting(APP) == 2
    assert held_requests.waiting(APP) == 0
    assert not held_requests.is_used(APP)
