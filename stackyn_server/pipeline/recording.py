"""Record a step's results in one transaction, which is repeated until the database has taken it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Protocol

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.deployments import Phase
from stackyn_server.errors import StackynError
from stackyn_server.jobs.run import JobRun
from stackyn_server.pause import Pause
from stackyn_server.store import deployments, installation
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Deployment, Mover, StepResults
from stackyn_server.store.failures import Contention, DatabaseUnavailable

log = structlog.get_logger()


class NotRecorded(StackynError):
    """The database answers reads, but has not taken a result within `[deadlines] recording`. Another result may be
    taken: it was perhaps this one that the database can't store."""

    retryable = True


class RecordedRun(Protocol):
    """The run whose results are recorded. `deployment` becomes what it is after the transaction."""

    deployment: Deployment

    @property
    def job(self) -> JobRun: ...
    @property
    def database(self) -> Database: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def mover(self) -> Mover: ...


class RecordingAttempt:
    """One transaction of a recording. Its block may run again in the next attempt, so it must do nothing but use the
    database. `failure`: the database is away, or has refused it for now; anything else leaves the block."""

    def __init__(self, transaction: AbstractAsyncContextManager[Connection]) -> None:
        self._transaction = transaction
        self._connection: Connection
        self.failure: StackynError | None = None
        self.is_recorded = False

    async def begin(self) -> bool:
        """Return whether the transaction has begun; `failure` says why not."""
        try:
            self._connection = await self._transaction.__aenter__()
        except (DatabaseUnavailable, Contention) as failure:
            self.failure = failure
        return self.failure is None

    async def __aenter__(self) -> Connection:
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:
            await self._transaction.__aexit__(kind, error, traceback)
        except (DatabaseUnavailable, Contention) as failure:
            error = failure
        if isinstance(error, (DatabaseUnavailable, Contention)):  # also when the block itself has raised it
            self.failure = error
            return True
        self.is_recorded = error is None
        return False


class Recording:
    """The attempts at a transaction, which is repeated until it is committed: while the database is away, and on
    contention. When the answer to a COMMIT was lost, the deployment's row says whether it happened; without a new phase
    the block runs again, so it must be idempotent.

    Raises `NotRecorded` when the database answers reads but has not taken the transaction within its deadline.
    """

    def __init__(self, run: RecordedRun, to: Phase | None, results: StepResults) -> None:
        self._run = run
        self._before = run.deployment
        self._to = to
        self._results = results
        self._pause = Pause.of(run.settings.jobs)
        self._answering_since: float | None = None
        self._last: RecordingAttempt | None = None

    def __aiter__(self) -> Recording:
        return self

    async def __anext__(self) -> RecordingAttempt:
        while not await self._is_over():
            self._last = RecordingAttempt(self._transact())
            if await self._last.begin():
                return self._last
        raise StopAsyncIteration

    async def _is_over(self) -> bool:
        if self._last is None:
            return False
        failure = self._last.failure
        return self._last.is_recorded or (failure is not None and await self._was_recorded(failure))

    @asynccontextmanager
    async def _transact(self) -> AsyncIterator[Connection]:
        run, moved = self._run, self._before
        async with run.database.transaction() as connection:
            yield connection
            if self._to is None:
                await installation.fence(connection, run.job.epoch)
            else:
                moved = await deployments.advance(
                    connection, self._before, self._to, run.mover, self._results
                )
        if self._to is not None:
            run.deployment = moved

    async def _was_recorded(self, failure: StackynError) -> bool:
        """Wait until the database answers. True when the transaction that failed did happen."""
        log.warning("record.waits", deployment=self._before.id, reason=failure.message)
        clock = asyncio.get_running_loop().time
        while True:
            await self._pause.wait()
            try:
                async with self._run.database.connection() as connection:
                    deployment = await deployments.get(connection, self._before.id)
            except (DatabaseUnavailable, Contention):
                self._answering_since = None
                continue
            to, mover = self._to, self._run.mover
            if deployment and to and deployments.was_recorded(deployment, self._before, to, mover):
                self._run.deployment = deployment
                return True
            self._answering_since = self._answering_since or clock()
            if clock() - self._answering_since >= self._run.settings.deadlines.recording:
                raise NotRecorded("The result could not be recorded.") from failure
            return False
