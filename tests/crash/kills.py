"""Have the server die at named points while something is asked of it, and start it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Set
from contextlib import asynccontextmanager

from stackyn_server.pipeline.crash_points import LAST_WORDS, VARIABLE
from tests.crash.audit import rows_of
from tests.server_process import ServerProcess

KILLED = -9
DEATH_SECONDS = 60
QUEUED = 3

Ask = Callable[[], Awaitable[None]]


async def kill_at_each(server: ServerProcess, points: Set[str], ask: Ask) -> None:
    """Kill at whichever point is passed first, start again, and so on until none of them is left."""
    left = set(points)
    await server.stop()
    await start(server, left)
    await ask()
    while left:
        try:
            code = await server.died(seconds=DEATH_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not passed: {left}\n{server.last_log()}") from None
        assert code == KILLED, f"it ended with {code}\n{server.last_log()}"
        left.remove(_last_words(server))
        await start(server, left)


async def start(server: ServerProcess, points: Set[str]) -> None:
    """Where another kill is to come during the recovery, it may not even come to answer."""
    server.environment = {VARIABLE: ",".join(sorted(points))} if points else {}
    is_recovering = server.process is not None and server.process.returncode == KILLED
    await server.start(wait=not (points and is_recovering))


def _last_words(server: ServerProcess) -> str:
    last = server.log_file.read_text().splitlines()[-1]
    assert last.startswith(LAST_WORDS), last
    return last.removeprefix(LAST_WORDS)


@asynccontextmanager
async def queue_stays_as_it_is(server: ServerProcess) -> AsyncIterator[None]:
    """Jobs that wait for a time to come: a kill must neither run, lose, nor change them."""
    name = "waits for tomorrow"
    async with rows_of(server) as rows:
        await rows.execute(
            "INSERT INTO job (kind, subject, pool, priority, run_at) SELECT 'mail', $2 || n, 'mail', n,"
            " now() + n * interval '1 day' FROM generate_series(1, $1) AS n",
            QUEUED,
            name,
        )
        before = await rows.fetch("SELECT * FROM job WHERE subject LIKE $1 || '%' ORDER BY id", name)
    yield
    async with rows_of(server) as rows:
        after = await rows.fetch("DELETE FROM job WHERE subject LIKE $1 || '%' RETURNING *", name)
    assert sorted(map(tuple, after)) == list(map(tuple, before))


_HOLD = """
CREATE FUNCTION hold_claims() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER hold_claims BEFORE UPDATE ON job FOR EACH ROW
WHEN (OLD.state = 'waiting' AND NEW.state = 'running'
      AND (NEW.kind = 'build' AND NEW.attempt > 1 OR NEW.kind = 'release' AND NEW.attempt > {attempts}))
EXECUTE FUNCTION hold_claims()
"""


async def hold_what_is_interrupted(server: ServerProcess, handler: str) -> None:
    """From the next kill on, nobody goes on with the build or release that it interrupts."""
    async with rows_of(server) as rows:
        await rows.execute(_HOLD.format(attempts=0 if handler == "build" else 1))


async def is_restored(server: ServerProcess) -> None:
    """Wait until the work that the kill interrupted waits again: the API answers a moment before that."""

    async def waits() -> bool:
        async with rows_of(server) as rows:
            return not await rows.fetchval(
                "SELECT count(*) FROM job WHERE kind IN ('build', 'release') AND state = 'running'"
            )

    await server.until(waits, 10, "the interrupted work waits")


async def release_held(server: ServerProcess) -> None:
    async with rows_of(server) as rows:
        await rows.execute("DROP FUNCTION hold_claims() CASCADE")
