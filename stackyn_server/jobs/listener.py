"""Receive notifications about job rows on a connection of its own: a pooled one loses its subscription.

A notification only wakes: it may be lost, and the rows are the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from stackyn_server.pause import Pause, is_set_within
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.failures import DatabaseUnavailable, StatementRefused, translated

log = structlog.get_logger()

CHANNEL = "stackyn_job"


class Listener:
    """Calls `on_payload` with each payload, and `on_connect` after each connect: what was sent before that is lost."""

    def __init__(
        self,
        database: Database,
        on_payload: Callable[[str], None],
        on_connect: Callable[[], None],
        *,
        ping_seconds: float,
        pause: Pause,
    ) -> None:
        self._database = database
        self._on_payload = on_payload
        self._on_connect = on_connect
        self._ping_seconds = ping_seconds
        self._pause = pause

    async def run(self) -> None:
        """Listen, and connect again whenever the connection is lost. Ends only by cancellation."""
        while True:
            try:
                await self._listen()
            except (DatabaseUnavailable, StatementRefused) as error:
                if self._pause.is_first:
                    log.warning("listener.lost", reason=error.message)
            await self._pause.wait()

    async def _listen(self) -> None:
        """Listen until the connection is lost. Raises `DatabaseUnavailable`."""
        connection = await self._database.dedicated()
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda *_: lost.set())
            with translated():
                await connection.add_listener(
                    CHANNEL, lambda *notification: self._on_payload(notification[-1])
                )
            self._on_connect()
            self._pause.reset()
            while not lost.is_set():
                await self._ping(connection, lost)
        finally:
            connection.terminate()
        raise DatabaseUnavailable

    async def _ping(self, connection: Connection, lost: asyncio.Event) -> None:
        """Wait, then send a query: a lost connection shows only when it is used."""
        if not await is_set_within(lost, self._ping_seconds):
            with translated():
                await connection.execute("SELECT 1", timeout=self._ping_seconds)
