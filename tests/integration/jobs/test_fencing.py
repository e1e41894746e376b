"""An ended attempt and an older epoch change no job."""

from __future__ import annotations

import pytest

from stackyn_server.domain.jobs import JobState, Kind, Pool
from stackyn_server.store import claims
from stackyn_server.store.claims import NotRunning
from stackyn_server.store.database import Database
from stackyn_server.store.installation import LeadershipLost
from tests.integration.jobs.builders import claim, lead, put, row


async def test_an_ended_attempt_and_an_old_epoch_end_no_job(database: Database) -> None:
    await lead(database)
    await put(database, Kind.BUILD, 1)
    first = await claim(database, 1, Pool.BUILDS, 9)
    assert first is not None
    async with database.transaction() as connection:
        await claims.retry(connection, first, 1, None, "again")
    second = await claim(database, 1, Pool.BUILDS, 9)
    assert second is not None and second.attempt == 2
    with pytest.raises(NotRunning):
        async with database.transaction() as connection:
            await claims.finish(connection, first, 1)
    await lead(database)
    for ending in (
        claims.finish,
        lambda *args: claims.mark_dead(*args, "x"),
        lambda *args: claims.retry(*args, None, "x"),
        lambda *args: claims.remember(*args, {"x": 1}),
    ):
        with pytest.raises(LeadershipLost):
            async with database.transaction() as connection:
                await ending(connection, second, 1)
    with pytest.raises(LeadershipLost):
        await claim(database, 1, Pool.BUILDS, 9)
    with pytest.raises(LeadershipLost):
        async with database.transaction() as connection:
            await claims.requeue_stalled(connection, 1, [])
    assert (await row(database, second.id)).state is JobState.RUNNING


async def test_running_rows_of_an_older_epoch_wait_again(database: Database) -> None:
    await lead(database)
    await put(database, Kind.BUILD, 1)
    job = await claim(database, 1, Pool.BUILDS, 9)
    assert job is not None
    leadership = await lead(database)
    async with database.transaction() as connection:
        returned = await claims.requeue_stalled(connection, leadership.epoch, [job.id])
    assert [each.id for each in returned] == [job.id], (
        "live in this process, but claimed by the server before"
    )
    again = await row(database, job.id)
    assert (again.state, again.attempt) == (JobState.WAITING, 1)
