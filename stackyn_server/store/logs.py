"""Rows of `log_chunk`: log text in pieces with ascending ids, appended and never rewritten. `kind` is `build` or
`runtime`. The journal is the only writer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.domain.logs import LogChunk, LogEntry, LogKind, LogLine, RuntimeChunk, merged
from stackyn_server.store.database import Connection
from stackyn_server.store.queries import load

SQL = load("logs")


@dataclass(frozen=True, slots=True)
class NewChunk:
    id: int
    app: AppId
    deployment: DeploymentId | None
    kind: LogKind
    text: str


@dataclass(frozen=True, slots=True)
class LogSize:
    """The bytes of an app's stored log."""

    app: AppId
    kind: LogKind
    bytes: int


async def reserve_ids(connection: Connection, count: int) -> list[int]:
    """Take `count` ascending ids that nobody else gets, whether the transaction commits or not."""
    return [row["id"] for row in await connection.fetch(SQL.reserve_ids, count)]


async def append(connection: Connection, chunks: Sequence[NewChunk]) -> None:
    """Store chunks. Safe to repeat; those of an app or deployment that is gone are left out."""
    await connection.execute(
        SQL.append,
        [chunk.id for chunk in chunks],
        [chunk.app for chunk in chunks],
        [chunk.deployment for chunk in chunks],
        [chunk.kind for chunk in chunks],
        [chunk.text for chunk in chunks],
    )


async def append_runtime(
    connection: Connection, app: AppId, deployment: DeploymentId, chunks: Sequence[RuntimeChunk]
) -> None:
    """Store pieces of an app's output."""
    await connection.execute(
        SQL.append_runtime,
        app,
        deployment,
        [{"content": chunk.content, "stamps": chunk.stamps} for chunk in chunks],
    )


async def newest_runtime(
    connection: Connection, app: AppId, deployment: DeploymentId | None, last_bytes: int
) -> list[LogLine]:
    """Return the end of what an app (`deployment`: of that one) wrote, as far as it is stored: about `last_bytes`, by
    time."""
    rows = await connection.fetch(SQL.newest_runtime, app, deployment, last_bytes)
    return merged(line for row in rows for line in RuntimeChunk(row["content"], row["stamps"]).lines())


async def size(connection: Connection, deployment: DeploymentId, kind: LogKind) -> int:
    """Return how many bytes of this log are stored."""
    return int(await connection.fetchval(SQL.size, deployment, kind))


async def read_text(connection: Connection, deployment: DeploymentId, kind: LogKind, last_bytes: int) -> str:
    """Return the end of a log, at most `last_bytes` of UTF-8, beginning with a whole line."""
    rows = await connection.fetch(SQL.newest_bytes, deployment, kind, last_bytes)
    text = "".join(row["content"] for row in rows)
    encoded = text.encode()
    if len(encoded) <= last_bytes:
        return text
    end = encoded[-last_bytes:]
    _, newline, lines = end.partition(b"\n")
    return (lines if newline and lines else end).decode(errors="ignore")


async def chunks_after(
    connection: Connection, deployment: DeploymentId, kind: LogKind, after: int, limit: int
) -> list[LogChunk]:
    """Return up to `limit` chunks with an id above `after`, oldest first."""
    rows = await connection.fetch(SQL.chunks_after, deployment, kind, after, limit)
    return [LogChunk(row["id"], row["content"]) for row in rows]


async def has_chunk(connection: Connection, deployment: DeploymentId, kind: LogKind, chunk: int) -> bool:
    """Say whether this log has a chunk with that id."""
    return await connection.fetchval(SQL.has_chunk, deployment, kind, chunk) is True


async def list_of_app(
    connection: Connection, app: AppId, kind: str, *, limit: int, offset: int
) -> list[LogEntry]:
    """Return an app's chunks of all its deployments, newest first."""
    rows = await connection.fetch(SQL.list_of_app, app, kind, limit, offset)
    return [LogEntry(**row) for row in rows]


async def newest_id(connection: Connection) -> int:
    """Return the id of the newest chunk of all logs; 0 before there is one."""
    return int(await connection.fetchval(SQL.newest_id))


async def sizes(connection: Connection, *, since: int) -> list[LogSize]:
    """Return the sizes of the logs that got a chunk after chunk `since`."""
    return [LogSize(**row) for row in await connection.fetch(SQL.sizes, since)]


async def trim(connection: Connection, app: AppId, kind: LogKind, keep_bytes: int) -> None:
    """Delete an app's oldest chunks until about `keep_bytes` are left (the chunk at the border stays)."""
    await connection.execute(SQL.trim, app, kind, keep_bytes)
