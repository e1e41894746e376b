"""Figures for Prometheus: counts and states of the server, never a tenant's name, address or id."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.jobs import Pool
from stackyn_server.operations.readiness import Readiness
from stackyn_server.store import jobs, operation
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.failures import DatabaseUnavailable
from stackyn_server.store.jobs import PoolQueue

_LAG_STEP_SECONDS = 0.25
# A transaction takes no longer: the database ends its statements and its idle sessions before.
_TRANSACTION_SECONDS = 10.0
_DEPLOYMENT = "deployment."
_OUTCOMES = (Phase.LIVE, Phase.FAILED, Phase.CANCELLED, Phase.SUPERSEDED)
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """Counters live in this process and start at zero with it; gauges are read at each scrape."""

    def __init__(
        self,
        database: Database,
        health: Callable[[], Awaitable[Readiness]],
        samples_age: Callable[[], float | None],
        *,
        token: str = "",
        settled_after_seconds: float = _TRANSACTION_SECONDS,
    ) -> None:
        self._database = database
        self._health = health
        self._samples_age = samples_age
        self._token = token
        self._settled_after_seconds = settled_after_seconds
        self._began = time.monotonic()
        self._events_until: datetime | None = None
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(name, what, labels, registry=registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=registry)

        def histogram(name: str, what: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(name, what, labels, buckets=buckets, registry=registry)

        self._requests = counter("stackyn_requests", "Answered API requests.", "route", "status")
        what = "Time to the end of the answer."
        self._request_seconds = histogram("stackyn_request_seconds", what, _REQUEST_BUCKETS, "route")
        what = "How much later than asked for the event loop goes on."
        self._lag = histogram("stackyn_loop_lag_seconds", what, _LAG_BUCKETS)
        self._deployments = counter("stackyn_deployments", "Deployments by outcome.", "outcome")
        for phase in _OUTCOMES:
            self._deployments.labels(phase.value)
        self._events = counter("stackyn_events", "Recorded events.", "event")
        self._up = gauge("stackyn_up", "1 when the part does its work, else 0.", "part")
        self._running = gauge("stackyn_jobs_running", "Jobs that run now.", "pool")
        self._due = gauge("stackyn_jobs_due", "Jobs that wait for a place.", "pool")
        self._later = gauge("stackyn_jobs_later", "Jobs that wait for their time.", "pool")
        self._oldest = gauge("stackyn_jobs_oldest_seconds", "How long the first in line has waited.", "pool")
        self._apps = gauge("stackyn_apps", "Apps by state.", "state")
        self._age = gauge(
            "stackyn_samples_age_seconds", "Since the apps were last measured, slow ones apart; -1: not yet."
        )

    def is_operators(self, token: str) -> bool:
        """Say whether this is the token of `[metrics] token_file`; needs no database."""
        return bool(self._token) and hmac.compare_digest(token.encode(), self._token.encode())

    def count_request(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    async def watch_loop(self) -> None:
        """Measure how late the event loop is. Run it as a supervised task."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_STEP_SECONDS
            await asyncio.sleep(_LAG_STEP_SECONDS)
            self._lag.observe(max(0.0, loop.time() - due))

    async def render(self) -> bytes:
        """Read all gauges and return the page. Without the database its figures are missing and its gauge is 0."""
        parts = (await self._health()).parts
        for part, state in parts.items():
            self._up.labels(part).set(state == "ok")
        age = self._samples_age()
        self._age.set(-1 if age is None else age)
        self._apps.clear()
        try:
            async with self._database.connection() as connection:
                await self._ask(connection)
        except DatabaseUnavailable:
            self._up.labels("database").set(0)
        return await asyncio.to_thread(generate_latest, self._registry)

    async def _ask(self, connection: Connection) -> None:
        queues = {queue.pool: queue for queue in await jobs.overview(connection)}
        for pool in Pool:
            queue = queues.get(pool, PoolQueue(pool, 0, 0, 0, 0.0))
            self._running.labels(pool).set(queue.running)
            self._due.labels(pool).set(queue.due)
            self._later.labels(pool).set(queue.later)
            self._oldest.labels(pool).set(queue.oldest_seconds)
        for state, count in (await operation.app_states(connection)).items():
            self._apps.labels(state).set(count)
        until = await operation.clock(connection, self._settled_after_seconds)
        after = self._events_until or await operation.clock(
            connection, time.monotonic() - self._began + self._settled_after_seconds
        )
        self._events_until = until
        for name, count in (await operation.events_between(connection, after, until)).items():
            self._events.labels(name).inc(count)
            outcome = name.removeprefix(_DEPLOYMENT)
            if outcome in _OUTCOMES:
                self._deployments.labels(outcome).inc(count)
