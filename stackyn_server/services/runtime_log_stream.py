"""Follow what an app writes: first what there is, then what comes, each line once."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from stackyn_server.domain.ids import AppId
from stackyn_server.domain.logs import LogLine
from stackyn_server.journal.runtime_followers import RuntimeFollowers, Written
from stackyn_server.journal.runtime_logs import RuntimeLogs


async def follow_runtime_log(
    followers: RuntimeFollowers, runtime_logs: RuntimeLogs, app: AppId, *, since: int | None, tail: int
) -> AsyncGenerator[list[LogLine], None]:
    """Yield the last `tail` lines after `since`, then new ones together as they come. Ends when the reader is so slow
    that lines had to be dropped: it goes on from the time of its last line.
    """
    async with followers.following(app) as written:
        history = await runtime_logs.read(app, since=since, tail=tail)
        if history.lines:
            yield history.lines
        while isinstance(new := await written.next(), Written):
            read_until = max(history.read_until.get(new.container, 0), since or 0)
            if lines := [line for line in new.lines if line.nanoseconds > read_until]:
                yield lines
