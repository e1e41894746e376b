"""Work over many items: each has its result or its failure, and what fails is logged once."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from stackyn_server.domain.ids import AppId
from stackyn_server.errors import StackynError
from stackyn_server.reconcile.bounded_map import Failed, bounded_map
from stackyn_server.reconcile.failing import Failing


async def test_failures_stay_with_their_items() -> None:
    async def work(item: str) -> str:
        if item == "hangs":
            await asyncio.Event().wait()
        if item == "refused":
            raise StackynError("No.")
        return item

    first, hung, refused, last = await bounded_map(
        ["first", "hangs", "refused", "last"], work, at_once=2, seconds=0.05
    )
    assert (first, last) == ("first", "last")
    assert isinstance(hung, Failed) and hung.is_late
    assert isinstance(refused, Failed) and str(refused.error) == "No." and not refused.is_late


async def test_no_more_items_run_than_allowed() -> None:
    running, most = 0, 0

    async def work(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await bounded_map(range(20), work, at_once=3, seconds=10)
    assert most == 3


async def test_bug_is_raised_and_ends_the_other_calls() -> None:
    was_cancelled = False

    async def work(item: int) -> None:
        nonlocal was_cancelled
        if item:
            raise KeyError(item)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled = True
            raise

    with pytest.raises(KeyError):
        await bounded_map([0, 1], work, at_once=2, seconds=10)
    assert was_cancelled


def test_failing_app_is_logged_once_until_it_succeeds() -> None:
    failing, failed = Failing[AppId]("sample.missing"), Failed(TimeoutError())
    with capture_logs() as logged:
        for outcome in (failed, failed, None, failed):
            failing.note([(AppId(1), outcome), (AppId(2), None), (AppId(3), None)])
    assert [(entry["event"], entry["app"], entry["reason"]) for entry in logged] == [
        ("sample.missing", 1, "It took too long.")
    ] * 2


def test_one_line_stands_for_all_apps_that_fail_together() -> None:
    failing = Failing[AppId]("sample.missing")
    with capture_logs() as logged:
        failing.note([(AppId(app), Failed(StackynError("The engine is away."))) for app in range(50)])
    [entry] = logged
    assert (entry["apps"], entry["reason"]) == (50, "The engine is away.")
