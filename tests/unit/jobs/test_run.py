from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from stackyn_server.domain.ids import JobId
from stackyn_server.domain.jobs import JobState, Kind, Pool, RetryPolicy
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.store.jobs import Job

POLICY = RetryPolicy(attempts=3, first_seconds=10, factor=2, longest_seconds=60, jitter=0.5)
CLAIMED_AT = datetime(2030, 1, 1, tzinfo=UTC)


def a_run(attempt: int = 1, jitter: float = 0, cancel_requested: bool = False) -> JobRun:
    job = Job(
        id=JobId(5), kind=Kind.BUILD, arguments={}, subject="7", app=None, tenant=None, lock=None, pool=Pool.BUILDS,
        priority=0, state=JobState.RUNNING, cancel_requested=cancel_requested, attempt=attempt, epoch=3, run_at=None,
        schedule=None, last_success=None, error=None, queued_at=CLAIMED_AT, claimed_at=CLAIMED_AT, ended_at=None,
        waits=0, after_app_work=False,
    )  # fmt: skip
    return JobRun(job, cast(Leadership, SimpleNamespace(epoch=3)), POLICY, lambda: jitter)


async def test_a_result_is_passed_on_and_an_error_too() -> None:
    async def broken() -> None:
        raise KeyError("as it is")

    assert await a_run().until_cancelled(asyncio.sleep(0, "result")) == "result"
    with pytest.raises(KeyError, match="as it is"):
        await a_run().until_cancelled(broken())


async def test_cancelling_waits_until_the_work_has_cleaned_up() -> None:
    run, steps = a_run(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    asyncio.get_running_loop().call_later(0.01, run.cancel.set)
    with pytest.raises(JobCancelled):
        await run.until_cancelled(work())
    assert steps == ["cleaned up"]


async def test_cancelled_work_is_not_begun() -> None:
    steps: list[str] = []

    async def work() -> None:
        steps.append("began")

    with pytest.raises(JobCancelled):
        await a_run(cancel_requested=True).until_cancelled(work())
    assert steps == []


async def test_a_result_despite_the_cancellation_is_kept() -> None:
    run = a_run()

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "image id"
        return "never"

    asyncio.get_running_loop().call_later(0.01, run.cancel.set)
    assert await run.until_cancelled(stubborn()) == "image id"


async def test_a_deadline_around_it_leaves_nothing_running() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await a_run().until_cancelled(work())
    assert ended.is_set()
    await asyncio.sleep(0)
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not any(name.startswith("job.cancel") for name in names), names


@pytest.mark.parametrize(
    ("attempt", "jitter", "seconds"), [(1, 0, 10), (2, 0, 20), (1, 1, 15), (2, -1, 10), (3, 0, None)]
)
def test_the_next_attempt_uses_the_clock_of_the_database(
    attempt: int, jitter: float, seconds: float | None
) -> None:
    run_at = a_run(attempt, jitter).next_attempt()
    if seconds is None:
        assert run_at is None
    else:
        assert run_at is not None
        assert abs(run_at - CLAIMED_AT - timedelta(seconds=seconds)) < timedelta(seconds=1)


def test_it_moves_rows_under_its_job_and_attempt() -> None:
    assert a_run(attempt=2).moved_by == "5:2"
