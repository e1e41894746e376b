"""Deletes the rows that are older than they are kept, in batches: a table that has grown large is reached too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from stackyn_server import config
from stackyn_server.errors import StackynError
from stackyn_server.store import (
    apps,
    audit,
    codes,
    disk_use,
    events,
    instances,
    jobs,
    logs,
    samples,
    sessions,
    subscriptions,
    tokens,
)
from stackyn_server.store.database import Connection, Database

log = structlog.get_logger()

_ROWS_AT_ONCE = 1000
_SAMPLES_AT_ONCE = 50_000
_BATCHES_AT_MOST = 100  # of one table in one pass; the next pass goes on
_SECONDS_PER_DAY = 86_400.0
_SECONDS_PER_HOUR = 3600

DeleteBatch = Callable[[Connection, int], Awaitable[int]]


class OldRows:
    def __init__(self, settings: config.Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._logs_measured_until = 0  # id of a chunk

    async def remove(self) -> None:
        """Delete what is too old, table by table. Raises the first error, after the other tables."""
        errors = []
        for name, delete_batch in self._batches().items():
            try:
                await self._in_batches(name, delete_batch)
            except StackynError as error:
                log.warning("rows.not_removed", rows=name, reason=error.message, notes=error.notes)
                errors.append(error)
        if errors:
            raise errors[0]
        await self._trim_long_logs()

    def _batches(self) -> dict[str, DeleteBatch]:
        """What is deleted, by the name in the log."""
        kept, auth_seconds = self._settings.reconcile, self._settings.auth.keep_days * _SECONDS_PER_DAY
        job_days = self._settings.jobs.keep_days
        quarantine = self._settings.hold.seconds + self._settings.network.quarantine_seconds
        measured = self._settings.samples
        return {
            # The addresses of a deleted app are free once no proxy can still hold a request for it.
            "apps": lambda connection, limit: apps.forget(connection, quarantine, limit),
            "jobs": lambda connection, limit: jobs.purge(connection, job_days, limit),
            "instances": lambda connection, limit: instances.purge(connection, job_days, limit),
            "events": lambda connection, limit: events.purge(connection, kept.event_days, limit),
            "audit": lambda connection, limit: audit.purge(connection, kept.audit_days, limit),
            "billing_events": lambda connection, limit: subscriptions.purge_events(
                connection, kept.billing_days, limit
            ),
            "subscriptions": lambda connection, limit: subscriptions.purge_unclaimed(
                connection, kept.billing_days, limit
            ),
            "sessions": lambda connection, limit: sessions.forget(connection, auth_seconds, limit),
            "codes": lambda connection, limit: codes.forget(connection, auth_seconds, limit),
            "tokens": lambda connection, limit: tokens.forget(connection, auth_seconds, limit),
            "samples": lambda connection, limit: samples.purge(connection, measured.coarse_days, limit),
            "fine_samples": lambda connection, _: samples.condense(
                connection,
                older_than_seconds=measured.keep_hours * _SECONDS_PER_HOUR,
                step_seconds=measured.coarse_seconds,
                limit=_SAMPLES_AT_ONCE,
            ),
        }

    async def _in_batches(self, name: str, delete_batch: DeleteBatch) -> None:
        removed = 0
        for _ in range(_BATCHES_AT_MOST):
            async with self._database.transaction() as connection:
                batch = await delete_batch(connection, _ROWS_AT_ONCE)
            removed += batch
            if batch < _ROWS_AT_ONCE:
                break
        if removed:
            log.info("rows.removed", rows=name, count=removed)

    async def _trim_long_logs(self) -> None:
        """Measure only logs that have grown since the last pass; the first pass measures all."""
        keep = self._settings.apps.log_keep_bytes
        async with self._database.connection() as connection:
            newest = await logs.newest_id(connection)
            sizes = await logs.sizes(connection, since=self._logs_measured_until)
        for size in sizes:
            if size.bytes > keep:
                async with self._database.transaction() as connection:
                    await logs.trim(connection, size.app, size.kind, keep)
        async with self._database.transaction() as connection:
            kept = [replace(size, bytes=min(size.bytes, keep)) for size in sizes]
            await disk_use.remember_logs(connection, kept)
        self._logs_measured_until = newest
