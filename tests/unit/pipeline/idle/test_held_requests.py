"""Who may go on at a held app, decided without a moment in which two can decide differently."""

from __future__ import annotations

import asyncio

import pytest

from stackyn_server.domain.ids import AppId
from stackyn_server.pipeline.idle.held_requests import Gates, Verdict

APP = AppId(7)


@pytest.fixture
def gates() -> Gates:
    return Gates()


async def test_an_unknown_app_waits_until_its_gate_opens(gates: Gates) -> None:
    assert gates.ask(APP) is Verdict.WAIT
    with gates.place(APP) as gate:
        waiting = asyncio.ensure_future(gate.decision())
        await asyncio.sleep(0)
        assert not waiting.done()
        gates.open(APP)
        assert await waiting is Verdict.GO_ON
    assert gates.ask(APP) is Verdict.GO_ON


async def test_a_gate_that_somebody_went_through_is_not_shut(gates: Gates) -> None:
    gates.open(APP)
    assert gates.ask(APP) is Verdict.GO_ON
    assert not gates.shut_unless_asked(APP)
    assert gates.ask(APP) is Verdict.GO_ON


async def test_a_gate_that_nobody_went_through_is_shut(gates: Gates) -> None:
    gates.open(APP)
    assert gates.shut_unless_asked(APP)
    assert gates.ask(APP) is Verdict.WAIT


async def test_somebody_who_waits_keeps_the_gate_from_being_shut(gates: Gates) -> None:
    with gates.place(APP):
        assert not gates.shut_unless_asked(APP)


async def test_a_forgotten_gate_lets_everybody_go_on_who_waits(gates: Gates) -> None:
    with gates.place(APP) as gate:
        gates.forget(APP)
        assert await gate.decision() is Verdict.GO_ON
    assert gates.waiting(APP) == 0


async def test_who_is_refused_may_try_again_after_a_while(gates: Gates) -> None:
    with gates.place(APP) as gate:
        gates.refuse(APP, 0.02)
        assert await gate.decision() is Verdict.REFUSE
    assert gates.ask(APP) is Verdict.REFUSE
    await asyncio.sleep(0.03)
    assert gates.ask(APP) is Verdict.WAIT


async def test_a_server_that_stops_sends_everybody_away(gates: Gates) -> None:
    with gates.place(APP) as gate:
        gates.close()
        assert await gate.decision() is Verdict.REFUSE
    assert gates.ask(APP) is Verdict.REFUSE


async def test_who_has_left_is_not_counted(gates: Gates) -> None:
    with gates.place(APP), gates.place(APP):
        assert gates.waiting(APP) == 2
    assert gates.waiting(APP) == 0
    assert not gates.is_asked(APP)
