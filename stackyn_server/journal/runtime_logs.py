"""Read what apps wrote: from the engine while a container is there, and what is stored in the database."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.domain.logs import LogLine, merged
from stackyn_server.domain.terminal import clean
from stackyn_server.domain.text import storable
from stackyn_server.engine.client import Engine
from stackyn_server.engine.logs import read_batches
from stackyn_server.engine.pacing import LoopPacer
from stackyn_server.errors import StackynError
from stackyn_server.security.redaction import redact
from stackyn_server.store import instances, logs
from stackyn_server.store.database import Database
from stackyn_server.store.instances import Output

ENGINE_SECONDS = 2.0  # the one wait for the engine that the contract allows inside a request
_SHOWN_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class RuntimeLog:
    """`lines` by time. `read_until`: for each container that was asked, the time of its last line (nanoseconds)."""

    lines: list[LogLine]
    read_until: Mapping[str, int] = field(default_factory=dict)


class RuntimeLogs:
    def __init__(self, database: Database, engine: Engine) -> None:
        self._database = database
        self._engine = engine

    async def read(
        self, app: AppId, deployment: DeploymentId | None = None, *, since: int | None = None, tail: int
    ) -> RuntimeLog:
        """Return the last `tail` lines, at most 1 MiB, that an app (`deployment`: that one) wrote after `since`
        (nanoseconds). What the engine doesn't say in time is missing."""
        async with self._database.connection() as connection:
            outputs = await instances.outputs_of_app(connection, app, deployment)
        present = await self.present(outputs, tail=tail, since=since)
        # After the engine was asked: what is taken down meanwhile is stored by now.
        async with self._database.connection() as connection:
            lines = await logs.newest_runtime(connection, app, deployment, _SHOWN_BYTES)
        lines = merged([*lines, *(line for of_one in present.values() for line in of_one)])
        kept = _Last(tail, _SHOWN_BYTES)
        for line in lines:
            if since is None or line.nanoseconds > since:
                kept.add(line)
        read_until = {
            output.container: max([output.logged_until or 0, *(line.nanoseconds for line in present[output])])
            for output in outputs
            if output.container is not None
        }
        return RuntimeLog(list(kept.lines), read_until)

    async def present(
        self, outputs: Sequence[Output], *, tail: int, since: int | None = None
    ) -> dict[Output, list[LogLine]]:
        """Return the last lines of containers that are there, without those that are stored already."""
        found = {output: _Last(tail, _SHOWN_BYTES) for output in outputs}
        with suppress(TimeoutError):
            async with asyncio.timeout(ENGINE_SECONDS):
                await asyncio.gather(*(self._read(output, since, tail, found[output]) for output in outputs))
        return {output: list(last.lines) for output, last in found.items()}

    async def _read(self, output: Output, since: int | None, tail: int, last: _Last) -> None:
        after = max((time for time in (since, output.logged_until) if time is not None), default=None)
        pace = LoopPacer()
        with suppress(StackynError):
            async with aclosing(
                read_batches(self._engine, output.container or "", since=after, tail=tail)
            ) as batches:
                async for batch in batches:
                    for line in batch:
                        last.add(as_shown(line))
                    await pace.pause_if_due()


def as_shown(line: LogLine) -> LogLine:
    """Return the line as plain text without credentials."""
    return LogLine(line.at, line.nanoseconds, line.stream, redact(storable(clean(line.text))))


class _Last:
    """The last lines of those that were added: at most `most` of them and `most_bytes`."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self.lines: deque[LogLine] = deque()

    def add(self, line: LogLine) -> None:
        self.lines.append(line)
        self._bytes += len(line.text) + 1
        while self.lines and (len(self.lines) > self._most or self._bytes > self._most_bytes):
            self._bytes -= len(self.lines.popleft().text) + 1
