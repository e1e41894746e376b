"""One attempt at a job, as its handler sees it: end the row, see a cancellation, check that this server leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from stackyn_server.domain.jobs import KINDS, RetryDecision, RetryPolicy, next_attempt
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.store import claims
from stackyn_server.store.database import Connection
from stackyn_server.store.jobs import Job

log = structlog.get_logger()

T = TypeVar("T")


class JobCancelled(Exception):
    """The job was asked to stop. A handler that lets it through has its row ended as done."""


class JobRun:
    """The argument of a handler.

    A handler ends its row with `finish`, `retry`, `wait` or `mark_dead` in the transaction of its last result;
    otherwise the dispatcher ends it. These four and `remember` raise `LeadershipLost` and `NotRunning`. `cancel` is set
    when the job was asked to stop, `deadline_changed` when its deadline moved.
    """

    def __init__(
        self, job: Job, leadership: Leadership, policy: RetryPolicy, jitter: Callable[[], float]
    ) -> None:
        self.job = job
        self.epoch = leadership.epoch
        self.moved_by = f"{job.id}:{job.attempt}"
        self.cancel = asyncio.Event()
        self.deadline_changed = asyncio.Event()
        if job.cancel_requested:
            self.cancel.set()
        self._leadership = leadership
        self._policy = policy
        self._jitter = jitter
        self._received_at = time.monotonic()

    def now(self) -> datetime:
        """Return the database's time, which `run_at` is compared with, independent of this machine's clock."""
        assert self.job.claimed_at is not None, "the claim sets it"
        return self.job.claimed_at + timedelta(seconds=time.monotonic() - self._received_at)

    @property
    def is_until_done(self) -> bool:
        """Whether the job is retried without a limit."""
        return KINDS[self.job.kind].until_done

    def next_attempt(self) -> datetime | None:
        """When the next attempt should run by the retry policy; None when the attempts are used up."""
        return self.decide().run_at

    def decide(self) -> RetryDecision:
        return next_attempt(
            self._policy, self.job.tries, self.now(), self._jitter(), until_done=self.is_until_done
        )

    async def until_cancelled(self, work: Awaitable[T]) -> T:
        """Await `work`. When the job is cancelled, cancel `work`, wait until it has ended and raise `JobCancelled`.

        If `work` returns a result despite its cancellation, that result is returned.
        """
        if self.cancel.is_set():
            if asyncio.iscoroutine(work):
                work.close()
            raise JobCancelled
        task: asyncio.Future[T] = asyncio.ensure_future(work)
        asked = asyncio.create_task(self.cancel.wait(), name=f"job.cancel.{self.moved_by}")
        try:
            await asyncio.wait((task, asked), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
                if task.cancelled():
                    raise JobCancelled
            return task.result()
        finally:
            asked.cancel()
            if not task.done():  # this task was cancelled: `work` may not go on without an owner
                task.cancel()
                await asyncio.wait((task,))
                if not task.cancelled() and (error := task.exception()) is not None:
                    log.warning("work.broke_while_cancelled", job=self.moved_by, exc_info=error)

    async def finish(self, connection: Connection) -> None:
        """Job → done, in the caller's transaction."""
        await claims.finish(connection, self.job, self.epoch)

    async def retry(self, connection: Connection, run_at: datetime | None, reason: str) -> None:
        """Job → waiting until `run_at` (None: for a place), in the caller's transaction; people read `reason`."""
        await claims.retry(connection, self.job, self.epoch, run_at, reason)

    async def wait(
        self, connection: Connection, run_at: datetime | None, reason: str, *, after_app_work: bool = False
    ) -> None:
        """Job → waiting for other work, in the caller's transaction; the attempt does not count. It runs when somebody
        wakes it, at `run_at`, or (`after_app_work`) when its app has no other open job."""
        await claims.wait(connection, self.job, self.epoch, run_at, reason, after_app_work=after_app_work)

    async def mark_dead(self, connection: Connection, reason: str) -> None:
        """Job → dead, in the caller's transaction."""
        await claims.mark_dead(connection, self.job, self.epoch, reason)

    async def require_uncancelled(self, connection: Connection) -> None:
        """Call it first in a transaction that enqueues a follow-up job: a cancellation then finds either this job or
        the follow-up. Raises `JobCancelled`."""
        if await claims.was_cancelled(connection, self.job.id):
            raise JobCancelled

    async def remember(self, connection: Connection, values: dict[str, Any]) -> None:
        """Keep values for later attempts of this job, in the caller's transaction; they read `job.arguments`."""
        await claims.remember(connection, self.job, self.epoch, values)

    async def read_arguments(self, connection: Connection) -> dict[str, Any]:
        """Return the row's arguments as they are now, and clear `deadline_changed`."""
        self.deadline_changed.clear()
        return await claims.arguments(connection, self.job.id)

    async def still_leading(self) -> None:
        """Check before the engine or a file is touched. Raises `LeadershipLost`; `DatabaseUnavailable` if unclear."""
        await self._leadership.still_leading()


Handler = Callable[[JobRun], Awaitable[None]]
