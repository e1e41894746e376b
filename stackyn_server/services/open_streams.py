"""The streams and sockets that are open: how many one user and one app may have, and when they must end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId
from stackyn_server.errors import RateLimited, Unavailable
from stackyn_server.pause import Pause
from stackyn_server.services.runtime_log_right import NOT_INCLUDED, includes_runtime_logs
from stackyn_server.services.sessions import Caller
from stackyn_server.store import streams
from stackyn_server.store.database import Database
from stackyn_server.store.failures import DatabaseUnavailable
from stackyn_server.store.streams import StreamHolder, StreamRight

log = structlog.get_logger()

STOPPING = "The server is stopping; connect again in a moment."
_SIGNED_OUT = "Your session has ended. Sign in again."
_APP_GONE = "This app is not there any more."
_RETRY_SECONDS = 5


@dataclass(eq=False, slots=True)
class OpenStream:
    """`ended` is set when it must end, with the `reason` for its reader. `has_left` says whether the reader is gone."""

    holder: StreamHolder
    shows_runtime_logs: bool
    has_left: Callable[[], bool]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""

    def end(self, reason: str) -> None:
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()


class OpenStreams:
    """The server supervises `watch`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self.limits = settings.streams
        self._open: set[OpenStream] = set()
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def open(
        self, caller: Caller, app: AppId, *, has_left: Callable[[], bool], shows_runtime_logs: bool = False
    ) -> Iterator[OpenStream]:
        """Count a stream of `app` while the block runs. Raises `RateLimited` beyond the limits of `[streams]`."""
        if self._is_stopping:
            raise Unavailable(STOPPING)
        holder = StreamHolder(caller.id, caller.session, caller.token, app)
        self._refuse_surplus(holder)
        stream = OpenStream(holder, shows_runtime_logs, has_left)
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)

    def _refuse_surplus(self, asking: StreamHolder) -> None:
        present = [stream.holder for stream in self._open if not stream.has_left()]
        of_user = sum(holder.account == asking.account for holder in present)
        of_app = sum(holder.app == asking.app for holder in present)
        if of_user >= self.limits.per_user:
            raise _too_many("You have", self.limits.per_user)
        if of_app >= self.limits.per_app:
            raise _too_many("This app has", self.limits.per_app)

    def end_all(self) -> None:
        """End all streams because the server stops; no new one opens."""
        self._is_stopping = True
        for stream in self._open:
            stream.end(STOPPING)

    async def watch(self) -> None:
        """End the streams of sessions, tokens, accounts and apps that have ended, and of plans that lost the right.

        One query asks for all of them. Never returns.
        """
        pause = Pause(self.limits.check_seconds, self.limits.check_seconds)
        while True:
            await pause.wait()
            try:
                await self.check()
            except DatabaseUnavailable as error:
                log.warning("streams.unchecked", reason=error.message, streams=len(self._open))

    async def check(self) -> None:
        """Look once."""
        for stream in self._open:
            if stream.has_left():
                stream.end("")
        present = [stream for stream in self._open if not stream.ended.is_set()]
        if not present:
            return
        async with self._database.connection() as connection:
            rights = await streams.rights(connection, [stream.holder for stream in present])
        for stream, right in zip(present, rights, strict=True):
            if reason := self._lost(stream, right):
                stream.end(reason)

    def _lost(self, stream: OpenStream, right: StreamRight) -> str:
        if not right.is_signed_in:
            return _SIGNED_OUT
        if not right.has_app:
            return _APP_GONE
        if stream.shows_runtime_logs and not includes_runtime_logs(self._settings, right.plan):
            return NOT_INCLUDED
        return ""


def _too_many(who: str, limit: int) -> RateLimited:
    return RateLimited(
        f"{who} {limit} streams open, which is the most at once.",
        hint="Close one, then try again.",
        details={"retry_after_seconds": _RETRY_SECONDS},
    )
