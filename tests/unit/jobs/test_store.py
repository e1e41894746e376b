from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.job import Job as ScheduledJob
from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from stackyn_server.domain.ids import JobId
from stackyn_server.jobs.store import PostgresJobStore, UnregisteredKind, fire
from stackyn_server.store.claims import Timer

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SCHEDULER = AsyncIOScheduler(timezone=UTC)


@pytest.fixture
def store() -> PostgresJobStore:
    store = PostgresJobStore(["mail", "housekeeping"], now=lambda: NOW)
    store.start(SCHEDULER, "default")
    return store


def timer(number: int, seconds: float, schedule: float | None = None, kind: str = "mail") -> Timer:
    return Timer(JobId(number), kind, schedule, seconds)


def scheduled(store: PostgresJobStore, number: int, at: datetime | None, name: str = "mail") -> ScheduledJob:
    return ScheduledJob(
        SCHEDULER, id=str(number), name=name, func=fire, args=(), kwargs={}, trigger=DateTrigger(at, UTC),
        executor="default", misfire_grace_time=None, coalesce=True, max_instances=1, next_run_time=at,
    )  # fmt: skip


def ids(jobs: list[ScheduledJob]) -> list[str]:
    return [job.id for job in jobs]


def test_due_jobs_come_in_order_of_their_time(store: PostgresJobStore) -> None:
    store.load([timer(1, 30), timer(2, 10), timer(3, 20), timer(4, 20.001)])
    assert ids(store.get_due_jobs(NOW + timedelta(seconds=20))) == ["2", "3"]
    assert ids(store.get_all_jobs()) == ["2", "3", "4", "1"]


def test_the_next_time_is_the_earliest(store: PostgresJobStore) -> None:
    assert store.get_next_run_time() is None
    store.load([timer(1, 30), timer(2, 10)])
    assert store.get_next_run_time() == NOW + timedelta(seconds=10)


def test_arming_again_moves_the_timer(store: PostgresJobStore) -> None:
    store.arm(timer(1, 30))
    store.arm(timer(1, 5))
    assert ids(store.get_due_jobs(NOW + timedelta(seconds=5))) == ["1"]
    assert len(store.get_all_jobs()) == 1


def test_disarming_without_a_timer_is_no_error(store: PostgresJobStore) -> None:
    store.arm(timer(1, 30))
    store.disarm("1")
    store.disarm("1")
    assert store.get_all_jobs() == []


def test_a_date_job_has_no_next_time_and_a_periodic_one_has(store: PostgresJobStore) -> None:
    store.load([timer(1, 10), timer(2, 10, schedule=60, kind="housekeeping")])
    once, periodic = store.lookup_job("1"), store.lookup_job("2")
    due_at = NOW + timedelta(seconds=10)
    assert once.trigger.get_next_fire_time(due_at, due_at) is None
    assert periodic.trigger.get_next_fire_time(due_at, due_at) == due_at + timedelta(seconds=60)
    assert (once.misfire_grace_time, once.coalesce, once.max_instances) == (None, True, 1)


def test_paused_jobs_come_last_and_are_never_due(store: PostgresJobStore) -> None:
    store.arm(timer(1, 10))
    store.add_job(scheduled(store, 2, None))
    assert ids(store.get_all_jobs()) == ["1", "2"]
    assert ids(store.get_due_jobs(NOW + timedelta(days=999))) == ["1"]
    store.remove_job("1")
    assert store.get_next_run_time() is None


def test_an_unregistered_kind_is_refused(store: PostgresJobStore) -> None:
    with pytest.raises(UnregisteredKind):
        store.add_job(scheduled(store, 1, NOW, name="unheard-of"))
    with pytest.raises(UnregisteredKind):
        store.arm(timer(1, 1, kind="unheard-of"))


def test_add_update_and_remove_check_that_the_id_exists(store: PostgresJobStore) -> None:
    store.add_job(scheduled(store, 1, NOW))
    with pytest.raises(ConflictingIdError):
        store.add_job(scheduled(store, 1, NOW))
    with pytest.raises(JobLookupError):
        store.update_job(scheduled(store, 2, NOW))
    with pytest.raises(JobLookupError):
        store.remove_job("2")
    assert store.lookup_job("2") is None


def test_many_timers_at_the_same_moment_keep_their_ids(store: PostgresJobStore) -> None:
    store.load(timer(number, 10) for number in range(200))
    for number in range(0, 200, 2):
        store.remove_job(str(number))
    assert sorted(ids(store.get_due_jobs(NOW + timedelta(seconds=10))), key=int) == [
        str(n) for n in range(1, 200, 2)
    ]
