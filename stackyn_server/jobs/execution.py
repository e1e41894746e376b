"""Run a handler and record how it ended: the task of a job ends its row, whatever happens to the handler."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from stackyn_server.errors import StackynError
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.run import Handler, JobCancelled, JobRun
from stackyn_server.pause import Pause
from stackyn_server.store import events
from stackyn_server.store.claims import NotRunning
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.failures import Contention, DatabaseUnavailable, StatementRefused
from stackyn_server.store.installation import LeadershipLost

log = structlog.get_logger()

_BROKE = "The platform failed while it worked on this."


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a handler ended: `reason` is None when it returned."""

    reason: str | None = None
    retryable: bool = False


async def execute(
    run: JobRun, handler: Handler, database: Database, leadership: Leadership, pause: Pause
) -> None:
    """Run `handler`, then end the row; while the database is away, try again until it is back.

    When the handler returns, or stops because the job was cancelled, its row is finished unless it did that itself.
    When it raises a retryable error, or its kind is tried until done, the row is retried by the policy; otherwise it is
    marked as dead. Only a cancellation from outside, at the server's stop, leaves the row `running` for the next
    server.
    """
    try:
        outcome = await _outcome(run, handler)
    except NotRunning:
        return  # somebody else has ended the row
    except LeadershipLost:
        leadership.lose()
        return
    while True:
        try:
            async with database.transaction() as connection:
                await _record(connection, run, outcome)
            return
        except NotRunning:
            return  # the handler ended it itself, in the transaction of its result
        except LeadershipLost:
            leadership.lose()
            return
        except StatementRefused as error:
            if outcome.reason in (None, _BROKE):
                raise
            log.error("job.reason_refused", sqlstate=error.sqlstate, exc_info=error)
            outcome = replace(outcome, reason=_BROKE)
        except (DatabaseUnavailable, Contention) as error:
            if pause.is_first:
                log.warning("job.end_waits", reason=error.message)
            await pause.wait()


async def _outcome(run: JobRun, handler: Handler) -> _Outcome:
    try:
        await handler(run)
    except JobCancelled:
        log.info("job.cancelled")
    except (NotRunning, LeadershipLost):
        raise
    except StackynError as error:
        log.info(
            "job.failed",
            code=error.code,
            reason=error.message,
            notes=error.notes,
            retryable=error.retryable,
            exc_info=error.status >= 500 and not error.retryable,
        )
        return _Outcome(error.message, error.retryable)
    except Exception:
        log.exception("job.broke")
        return _Outcome(_BROKE)
    return _Outcome()


async def _record(connection: Connection, run: JobRun, outcome: _Outcome) -> None:
    if outcome.reason is None:
        await run.finish(connection)
    elif run.job.schedule is not None:
        await run.retry(connection, _next_period(run, run.job.schedule), outcome.reason)
    elif run.is_until_done or outcome.retryable:
        await _try_again(connection, run, outcome.reason)
    else:
        await run.mark_dead(connection, outcome.reason)


async def _try_again(connection: Connection, run: JobRun, reason: str) -> None:
    decision, job = run.decide(), run.job
    if decision.run_at is None:
        return await run.mark_dead(connection, reason)
    await run.retry(connection, decision.run_at, reason)
    if decision.is_overdue:
        log.error("job.overdue", reason=reason)
        data = {"kind": job.kind.value, "attempts": job.tries, "reason": reason}
        await events.append(connection, "job.overdue", tenant=job.tenant, app=job.app, data=data)
    return None


def _next_period(run: JobRun, schedule: float) -> datetime:
    """Periodic work is never given up: it is tried again by the policy, at the latest in its next period."""
    regular = run.now() + timedelta(seconds=schedule)
    return min(regular, run.next_attempt() or regular)
