"""A server with nothing but the work engine, to be killed, frozen and taken over by tests.

`python server.py <database url> <data dir> [--take-over] [--freeze-in-claim] [--freeze-in-job]`. It prints one line
for each thing that happened. What its jobs "do to the engine" is a line in `<data dir>/touched`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import structlog

from stackyn_server import config
from stackyn_server.domain.jobs import Kind, Pool, RetryPolicy
from stackyn_server.errors import StackynError, Unavailable
from stackyn_server.jobs.data_directory import DataDirectory
from stackyn_server.jobs.dispatcher import Dispatcher
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.run import JobRun
from stackyn_server.jobs.supervisor import Supervisor
from stackyn_server.store import claims
from stackyn_server.store.database import Connection, Database

SETTINGS = config.JobsSettings(
    heartbeat_seconds=0.2,
    stale_seconds=1.0,
    take_over_seconds=2,  # the holder has this long to stop in order
    ping_seconds=0.5,
    pause_first_seconds=0.02,
    pause_longest_seconds=0.2,
)
POLICY = RetryPolicy(attempts=5, first_seconds=0.4, factor=1.0, longest_seconds=0.4, jitter=0.0)
LOST_EXIT_CODE = 76


def say(*words: object) -> None:
    print(*words, flush=True)


def freeze() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


class Work:
    """The handler of every kind; the job's subject says how it behaves."""

    def __init__(self, database: Database, data_dir: Path, freeze_in_job: bool) -> None:
        self.database = database
        self.touched = data_dir / "touched"
        self.freeze_in_job = freeze_in_job

    async def __call__(self, run: JobRun) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(
                "INSERT INTO audit (action, subject, data) VALUES ('run', $1, $2)",
                run.job.subject,
                {"attempt": run.job.attempt, "epoch": run.epoch},
            )
        say("run", run.job.subject, run.job.attempt)
        match run.job.subject:
            case "dies in mid-run" if run.job.attempt == 1:
                await asyncio.Event().wait()
            case "fails twice" if run.job.attempt <= 2:
                raise Unavailable("The engine can't be reached.")
            case "works for long":
                await self._touch_again_and_again(run)

    async def _touch_again_and_again(self, run: JobRun) -> None:
        for number in range(1_000_000):
            await asyncio.sleep(0.01)  # the work
            if self.freeze_in_job and number == 10:
                freeze()
            await run.still_leading()
            with self.touched.open("a") as file:
                file.write(f"{run.epoch}\n")


def freezing_claim() -> None:
    """Let the first claim that finds nobody waiting for it be frozen between its two statements."""
    sql = claims.SQL

    async def claim(connection: Connection, *args: object) -> object:
        await connection.execute(sql.lock, claims.CLAIM_LOCK)
        say("frozen in a claim")
        freeze()
        return await original(connection, *args)  # type: ignore[arg-type]

    original, claims.claim = claims.claim, claim  # type: ignore[assignment]


async def serve(url: str, data_dir: Path, flags: list[str]) -> None:
    directory = await DataDirectory.acquire(
        data_dir, take_over="--take-over" in flags, take_over_seconds=SETTINGS.take_over_seconds
    )
    database = await Database.open(
        url,
        config.DatabaseSettings(statement_seconds=3, connect_seconds=2),
        application_name="stackyn starting",
    )
    leadership = await Leadership.take(database, SETTINGS, directory.identity)
    say("leads", leadership.epoch)
    if "--freeze-in-claim" in flags:
        freezing_claim()
    supervisor = Supervisor(SETTINGS)
    supervisor.start("leadership", leadership.keep)
    work = Work(database, data_dir, "--freeze-in-job" in flags)
    handlers = dict.fromkeys((Kind.MAIL, Kind.BUILD), work)
    dispatcher = Dispatcher(
        database, leadership, handlers, {Pool.MAIL: 4, Pool.BUILDS: 2}, POLICY, SETTINGS, jitter=lambda: 0.0
    )
    supervisor.start("dispatcher", dispatcher.run)
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    lost = asyncio.create_task(leadership.lost.wait(), name="lost")
    stop = asyncio.create_task(terminated.wait(), name="stop")
    await asyncio.wait((lost, stop), return_when=asyncio.FIRST_COMPLETED)
    if lost.done():
        say("lost")
        os._exit(LOST_EXIT_CODE)
    await dispatcher.stop(0.1)
    await supervisor.stop()
    await leadership.resign()
    await database.close()
    say("stopped")


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    url, data_dir, *flags = sys.argv[1:]
    try:
        asyncio.run(serve(url, Path(data_dir), flags))
    except StackynError as error:
        print(error.message, error.hint, file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    assert timedelta(seconds=SETTINGS.heartbeat_seconds) < timedelta(seconds=SETTINGS.stale_seconds)
    main()
