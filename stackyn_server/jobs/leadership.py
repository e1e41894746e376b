"""One leader for each database: the epoch is the fencing token of every write, the heartbeat renews the lease."""

from __future__ import annotations

import asyncio
import time

import structlog

from stackyn_server import config
from stackyn_server.errors import StackynError
from stackyn_server.pause import Pause, is_set_within
from stackyn_server.store import installation
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.failures import Contention, DatabaseRefused, DatabaseUnavailable
from stackyn_server.store.installation import CurrentLeader, LeadershipLost

log = structlog.get_logger()


class LedElsewhere(StackynError):
    """A server on another data directory leads this database, and lives."""

    code = "LED_ELSEWHERE"
    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class Leadership:
    """Made by `take`. `lost` is set once another server has taken over: end the process, touching nothing."""

    def __init__(
        self, database: Database, settings: config.JobsSettings, epoch: int, host: str, asked_at: float
    ) -> None:
        self.epoch = epoch
        self.host = host
        self.lost = asyncio.Event()
        self._database = database
        self._settings = settings
        self._confirmed_at = asked_at

    @classmethod
    async def take(cls, database: Database, settings: config.JobsSettings, host: str) -> Leadership:
        """Begin a new epoch, once the data directory is ours and the tables are there. Waits for the database.

        `host` is `DataDirectory.identity`. Raises `LedElsewhere` while another host's heartbeat is fresh, and
        `DatabaseRefused`, which waiting won't cure.
        """
        pause = Pause.of(settings)
        while True:
            try:
                leadership = await _take(cls, database, settings, host)
                break
            except DatabaseRefused:
                raise
            except (DatabaseUnavailable, Contention) as error:
                log.warning("leadership.waits", reason=error.message)
                await pause.wait()
        log.info("leadership.taken", epoch=leadership.epoch, host=host)
        return leadership

    def lose(self) -> None:
        """Set `lost`: the epoch in the database is another one."""
        if not self.lost.is_set():
            log.error("leadership.lost", epoch=self.epoch)
            self.lost.set()

    async def keep(self) -> None:
        """Write heartbeats until leadership is lost, then raise `LeadershipLost`. Run it as a supervised task."""
        pause = Pause.of(self._settings)
        while True:
            try:
                await self._renew()
                pause.reset()
            except (DatabaseUnavailable, Contention) as error:
                if pause.is_first:
                    log.warning("heartbeat.missed", reason=error.message)
                await pause.wait()
                continue
            if await is_set_within(self.lost, self._settings.heartbeat_seconds):
                raise LeadershipLost

    async def check(self, connection: Connection) -> None:
        """Fence the caller's transaction: no take-over can happen before its end. Raises `LeadershipLost`."""
        if self.lost.is_set():
            raise LeadershipLost
        try:
            await installation.fence(connection, self.epoch)
        except LeadershipLost:
            self.lose()
            raise

    async def still_leading(self) -> None:
        """Check before the engine or a file is touched. Raises `LeadershipLost`, or `DatabaseUnavailable` if unclear.

        A heartbeat is a lease: for `stale_seconds` nobody may take over, so until shortly before its end no query is
        needed.
        """
        if self.lost.is_set():
            raise LeadershipLost
        lease = self._settings.stale_seconds - self._settings.heartbeat_seconds
        if boot_seconds() >= self._confirmed_at + lease:
            await self._renew()

    async def resign(self) -> None:
        """End the lease at an orderly stop, so that a server on another data directory may lead at once."""
        if self.lost.is_set():
            return
        try:
            async with self._database.connection() as connection:
                await installation.resign(connection, self.epoch)
        except (DatabaseUnavailable, Contention) as error:
            log.warning("leadership.not_resigned", reason=error.message)

    async def _renew(self) -> None:
        """Write a heartbeat. The lease counts from before the query."""
        asked_at = boot_seconds()
        try:
            async with self._database.connection() as connection:
                await installation.heartbeat(connection, self.epoch)
        except LeadershipLost:
            self.lose()
            raise
        self._confirmed_at = asked_at


async def _take(
    cls: type[Leadership], database: Database, settings: config.JobsSettings, host: str
) -> Leadership:
    async with database.connection() as connection:
        before = await installation.current_leader(connection, settings.stale_seconds)
        _refuse_if_led_elsewhere(before, host, settings)
        # First the sessions: one that is frozen in the middle of a write holds the row that we lock next.
        await installation.end_sessions(connection, before.epoch)
    async with database.transaction() as connection:
        now = await installation.current_leader(connection, settings.stale_seconds, for_update=True)
        _refuse_if_led_elsewhere(now, host, settings)
        asked_at = boot_seconds()
        epoch = await installation.next_epoch(connection, host)
    async with database.connection() as connection:
        ended = await installation.end_sessions(connection, epoch - 1)
    if ended:
        log.warning("leadership.ended_sessions", count=ended, epoch=epoch)
    await database.set_application_name(installation.session_name(epoch))
    return cls(database, settings, epoch, host, asked_at)


def _refuse_if_led_elsewhere(leader: CurrentLeader, host: str, settings: config.JobsSettings) -> None:
    if not leader.is_fresh or leader.host == host:
        return
    raise LedElsewhere(
        f"Another Stackyn server (host {leader.host.partition(' ')[0]}, heartbeat "
        f"{abs(leader.heartbeat_age or 0):.0f} s ago) leads this database.",
        hint=f"Stop it, or start again {settings.stale_seconds:.0f} s after it has died.",
    )


def boot_seconds() -> float:
    """Seconds that also count while the machine is suspended, and do not jump with its clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
