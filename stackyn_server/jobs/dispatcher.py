"""The one place where jobs start. Commits, freed places, timers and the sweep wake it; it claims what can run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import JobId
from stackyn_server.domain.jobs import Kind, Pool, RetryPolicy
from stackyn_server.jobs.clock import Clock
from stackyn_server.jobs.execution import execute
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.listener import Listener
from stackyn_server.jobs.run import Handler, JobRun
from stackyn_server.pause import Pause, is_set_within
from stackyn_server.store import claims
from stackyn_server.store.database import Database
from stackyn_server.store.failures import Contention, DatabaseUnavailable
from stackyn_server.store.installation import LeadershipLost
from stackyn_server.store.jobs import Job

log = structlog.get_logger()

# Less than this between the database's clock and ours since the last sweep is measurement, not a step of the clock.
_CLOCK_STEP_SECONDS = 2.0


# Signals in a notification about a running row: sent by the table's trigger, and by shorten_deadline in jobs.sql.
_CANCEL, _DEADLINE = "cancel", "deadline"


@dataclass(frozen=True, slots=True)
class DispatcherStatus:
    """What the dispatcher is doing. `pause_reason` is a sentence while the database can't be asked, else None."""

    is_running: bool
    pause_reason: str | None
    running: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class _Live:
    run: JobRun
    task: asyncio.Task[None]


class Dispatcher:
    """Claims jobs under this leadership and runs each as a named task of its own.

    `handlers` has the handler of each kind (other kinds stay in the queue), `pools` the cap of each pool.
    """

    def __init__(
        self,
        database: Database,
        leadership: Leadership,
        handlers: Mapping[Kind, Handler],
        pools: Mapping[Pool, int],
        policy: RetryPolicy,
        settings: config.JobsSettings,
        *,
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),
    ) -> None:
        self._database = database
        self._leadership = leadership
        self._handlers = dict(handlers)
        self._pools = dict(pools)
        self._policy = policy
        self._settings = settings
        self._jitter = jitter
        self._live: dict[tuple[JobId, int], _Live] = {}
        self._woken = asyncio.Event()
        self._stale_timers: set[JobId] = set()  # of rows that changed or whose timer fired
        # Signals that arrive between a claim's commit and the start of its task.
        self.early_signals: dict[JobId, set[str]] = {}
        self._sweep_at = 0.0
        self._clock_seen: tuple[datetime, float] | None = None
        self._is_running = self._is_draining = self._is_over = False
        self._pause_reason: str | None = None

    def wake(self) -> None:
        """Look at the queue soon. Cheap, from anywhere on the loop."""
        self._woken.set()

    def status(self) -> DispatcherStatus:
        running = tuple(live.run.job for live in self._live.values())
        return DispatcherStatus(self._is_running, self._pause_reason, running)

    async def run(self) -> None:
        """Dispatch until `stop`. Raises `LeadershipLost`: then end the process at once, touching nothing.

        Running jobs outlive a death of this task; started again, it goes on with them.
        """
        self._sweep_at = 0.0
        clock = Clock(self._handlers, self._on_timer)
        listener = Listener(
            self._database,
            self._on_notification,
            self.sweep_soon,
            ping_seconds=self._settings.ping_seconds,
            pause=Pause.of(self._settings),
        )
        listening = asyncio.create_task(listener.run(), name="jobs.listener")
        listening.add_done_callback(lambda _: self.wake())
        self._is_running = True
        try:
            await self._work(clock, listening)
        finally:
            self._is_running = False
            listening.cancel()
            await asyncio.wait((listening,))
            await clock.stop()

    async def stop(self, drain_seconds: float) -> None:
        """Claim no more; give what runs `drain_seconds` to end, then cancel it: its row stays `running` and the next
        server takes it up again. Jobs can still be cancelled meanwhile. `run` returns after this."""
        self._is_draining = True
        if tasks := {live.task for live in self._live.values()}:
            _, pending = await asyncio.wait(tasks, timeout=drain_seconds)
            for task in pending:
                log.info("job.interrupted", task=task.get_name())
                task.cancel()
            if pending:
                await asyncio.wait(pending)
        self._is_over = True
        self.wake()

    async def _work(self, clock: Clock, listening: asyncio.Task[None]) -> None:
        pause = Pause.of(self._settings)
        while not self._is_over:
            if listening.done():
                listening.result()  # it ends only by a bug: raise it, and let the supervisor start us again
            self._woken.clear()
            try:
                await self._pass(clock)
            except (DatabaseUnavailable, Contention) as error:
                if self._pause_reason is None:
                    log.warning("dispatcher.paused", reason=error.message)
                self._pause_reason = error.message
                self._sweep_at = 0.0  # the answer to a claim or a finish may have been lost
                await pause.wait()
                continue
            except LeadershipLost:
                self._leadership.lose()
                raise
            if self._pause_reason is not None:
                log.info("dispatcher.resumed")
                self._pause_reason = None
            pause.reset()
            await is_set_within(self._woken, self._sweep_at - asyncio.get_running_loop().time())

    async def _pass(self, clock: Clock) -> None:
        if asyncio.get_running_loop().time() >= self._sweep_at:
            await self._sweep(clock)
        elif self._stale_timers:
            await self._arm(clock)
        if not self._is_draining:
            await self._claim_runnable()

    async def _arm(self, clock: Clock) -> None:
        ids, self._stale_timers = self._stale_timers, set()
        async with self._database.connection() as connection:
            timers = await claims.timers(connection, ids)
        clock.disarm(ids)
        clock.arm(timers)

    async def _claim_runnable(self) -> None:
        free = [pool for pool in self._pools if self._has_place(pool)]
        if not free:
            return
        async with self._database.connection() as connection:
            due = await claims.due_pools(connection, free)
        for pool in due:
            while self._has_place(pool) and not self._is_draining and (job := await self._claim(pool)):
                self._start(job)

    def _has_place(self, pool: Pool) -> bool:
        """A guess that saves a query: the claim itself counts the rows."""
        return sum(live.run.job.pool is pool for live in self._live.values()) < self._pools[pool]

    async def _claim(self, pool: Pool) -> Job | None:
        async with self._database.transaction() as connection:
            return await claims.claim(
                connection,
                self._leadership.epoch,
                pool,
                self._pools[pool],
                self._handlers.keys(),
                self._settings.priority_minutes,
            )

    def _start(self, job: Job) -> None:
        run = JobRun(job, self._leadership, self._policy, self._jitter)
        _signal(run, self.early_signals.pop(job.id, set()))
        task = asyncio.create_task(self._perform(run), name=f"job.{job.kind}.{run.moved_by}")
        self._live[job.id, job.attempt] = _Live(run, task)
        task.add_done_callback(lambda ended: self._ended(job, ended))

    async def _perform(self, run: JobRun) -> None:
        job = run.job
        with structlog.contextvars.bound_contextvars(job=job.id, kind=job.kind.value, attempt=job.attempt):
            await execute(
                run, self._handlers[job.kind], self._database, self._leadership, Pause.of(self._settings)
            )

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        del self._live[job.id, job.attempt]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job.task_died", task=task.get_name(), exc_info=error)
            self.sweep_soon()  # its row has no task any more
        self.wake()

    def sweep_soon(self) -> None:
        self._sweep_at = 0.0
        self.wake()

    def _on_timer(self, job: JobId) -> None:
        self._stale_timers.add(job)  # by the clock of the database it may be early
        self.wake()

    def _on_notification(self, payload: str) -> None:
        """`<id> <state> [cancel | deadline]`"""
        number, state, *signals = payload.split(" ")
        job = JobId(int(number))
        if state != "running":
            self._stale_timers.add(job)
            self.wake()
            return
        runs = [live.run for key, live in self._live.items() if key[0] == job]
        for run in runs:
            _signal(run, set(signals))
        if not runs:
            self.early_signals.setdefault(job, set()).update(signals)

    async def _sweep(self, clock: Clock) -> None:
        """Compare all rows with what runs here: a lost notification delays its job by one sweep at most."""
        # Set before the first query, so that a request for another sweep during this one is kept.
        self._sweep_at = asyncio.get_running_loop().time() + self._settings.sweep_seconds
        epoch, live = self._leadership.epoch, [key[0] for key in self._live]
        self.early_signals.clear()
        self._stale_timers.clear()
        async with self._database.transaction() as connection:
            requeued = await claims.requeue_stalled(connection, epoch, live)
            added = await claims.add_missing(connection, epoch)
            cancelled = await claims.cancelled(connection, live)
            if (jump := self._clock_jump(await claims.database_now(connection))) < -_CLOCK_STEP_SECONDS:
                shifted = await claims.shift(connection, epoch, -jump)
                log.warning("clock.jumped_back", seconds=-jump, jobs=shifted)
            # All rows once; then what was missed is of interest only shortly before its time.
            horizon = 2 * self._settings.sweep_seconds if clock.is_running else None
            timers = await claims.timers(connection, within_seconds=horizon)
        for row in requeued:
            log.warning("job.returned", job=row.id, kind=row.kind, subject=row.subject)
        for row in added:
            log.error("deployment.had_no_job", deployment=row.subject, job=row.id, kind=row.kind)
        for (job, _), current in self._live.items():
            _signal(current.run, {_DEADLINE, _CANCEL} if job in cancelled else {_DEADLINE})
        clock.arm(timers) if clock.is_running else clock.load(timers)

    def _clock_jump(self, database_now: datetime) -> float:
        """Return by how many seconds the database's clock ran ahead of elapsed time since the last sweep."""
        here = asyncio.get_running_loop().time()
        seen, self._clock_seen = self._clock_seen, (database_now, here)
        return 0.0 if seen is None else (database_now - seen[0]).total_seconds() - (here - seen[1])


def _signal(run: JobRun, signals: set[str]) -> None:
    """Pass signals on to a handler. `deadline` makes it read its arguments again; an extra one does no harm."""
    if _CANCEL in signals:
        run.cancel.set()
    if _DEADLINE in signals:
        run.deadline_changed.set()
