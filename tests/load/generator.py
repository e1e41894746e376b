"""Visitors in a process of their own: constant load on an app through the ingress, and long connections of a neighbour.

`python -m tests.load.generator '{"port": 8000, "host": "shop.localhost", "neighbour": "chat.localhost"}'` prints a line
of JSON each second, {"answered": n, "failed": n}, and when its standard input closes a last one, the `Report`. Loopback
only; the number of visitors is fixed and each waits between its requests.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tests.patience import patient

HEALTHY = "good "  # what the answer of a healthy release begins with (tests/load/app.py)
BODY_BYTES = 32 * 1024
PAUSE_SECONDS = {"kept": 0.025, "fresh": 0.04, "post": 0.04, "slow": 0.1}  # a usual machine's
VISITORS = {"kept": 6, "fresh": 3, "post": 3, "slow": 4}
AGAIN_SECONDS = 0.2  # between the messages of a WebSocket, and before a broken connection is made again
SILENCE_SECONDS = 5.0
REQUEST_SECONDS = 30.0
FAILURES_KEPT = 2000


@dataclass(frozen=True)
class VisitPlan:
    """Whom to visit, through which port of loopback. `host` or `neighbour` "" is nobody."""

    port: int
    host: str
    neighbour: str = ""
    visitors: dict[str, int] = field(default_factory=lambda: dict(VISITORS))


@dataclass
class Report:
    """`answers` by kind, `releases` by who answered, `connections` opened by kind, `slowest` in seconds by kind."""

    answers: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)
    connections: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, printed: dict[str, Any]) -> Report:
        """Read what the process printed."""
        counters = ("answers", "releases", "connections", "failed")
        return cls(**(printed | {name: Counter(printed[name]) for name in counters}))

    def answered(self, kind: str, seconds: float) -> None:
        self.answers[kind] += 1
        self.slowest[kind] = max(self.slowest.get(kind, 0.0), round(seconds, 3))

    def fail(self, kind: str, began: float, status: int, what: str) -> None:
        """Record when it happened, to whom, after how long, and what came back."""
        self.failed[kind] += 1
        if len(self.failures) < FAILURES_KEPT:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            after = round(time.monotonic() - began, 3)
            self.failures.append({"at": at, "kind": kind, "after": after, "status": status, "what": what})


class Unhealthy(Exception):
    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


class Load:
    def __init__(self, plan: VisitPlan) -> None:
        self._plan = plan
        self._url = f"http://127.0.0.1:{plan.port}"
        self._ending = asyncio.Event()
        self.report = Report()

    async def run(self) -> None:
        """Visit until `end`, then let every request that is under way finish."""
        kinds: dict[str, Callable[[aiohttp.ClientSession], Awaitable[None]]] = {
            "kept": self._get,
            "fresh": self._get,
            "post": self._post,
            "slow": self._slow,
        }
        async with asyncio.TaskGroup() as group:
            for kind, count in self._plan.visitors.items():
                for number in range(count):
                    group.create_task(self._visitor(kind, kinds[kind]), name=f"{kind}.{number}")
            if self._plan.neighbour:
                group.create_task(self._again("websocket", self._socket), name="websocket")
                group.create_task(self._again("events", self._events), name="events")

    def end(self) -> None:
        self._ending.set()

    async def _visitor(self, kind: str, ask: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
        async with self._session(kind, fresh=kind == "fresh") as session:
            while not self._ending.is_set():
                await self._once(kind, lambda: ask(session))
                await asyncio.sleep(patient(PAUSE_SECONDS[kind]))

    async def _once(self, kind: str, ask: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        try:
            await ask()
        except Unhealthy as error:
            self.report.fail(kind, began, error.status, error.what)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.report.fail(kind, began, 0, repr(error))
        else:
            self.report.answered(kind, time.monotonic() - began)

    @asynccontextmanager
    async def _session(self, kind: str, *, fresh: bool = False) -> AsyncIterator[aiohttp.ClientSession]:
        async def opened(*_: object) -> None:
            self.report.connections[kind] += 1

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(opened)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, force_close=fresh),
            timeout=aiohttp.ClientTimeout(total=patient(REQUEST_SECONDS)),
            trace_configs=[trace],
        ) as session:
            session._retry_connection = False  # else a dropped GET would be repeated behind our back
            yield session

    async def _ask(self, session: aiohttp.ClientSession, method: str, path: str, body: bytes = b"") -> None:
        headers = {"Host": self._plan.host}
        async with session.request(
            method, self._url + path, data=body or None, headers=headers, allow_redirects=False
        ) as answer:
            text = await answer.text()
        if answer.status != 200 or not text.startswith(HEALTHY):
            raise Unhealthy(answer.status, text[:200])
        _, release, digest = text.split(" ")
        if digest != (hashlib.sha256(body).hexdigest() if body else ""):
            raise Unhealthy(answer.status, f"another body than was sent: {text[:200]}")
        self.report.releases[release] += 1

    async def _get(self, session: aiohttp.ClientSession) -> None:
        await self._ask(session, "GET", "/")

    async def _post(self, session: aiohttp.ClientSession) -> None:
        await self._ask(session, "POST", "/", os.urandom(BODY_BYTES))

    async def _slow(self, session: aiohttp.ClientSession) -> None:
        await self._ask(session, "GET", "/slow")

    async def _again(self, kind: str, connection: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
        """Have one connection all the time. That it ends before we do is a failure."""
        async with self._session(kind) as session:
            while not self._ending.is_set():
                began = time.monotonic()
                try:
                    await connection(session)
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError) as error:
                    self.report.fail(kind, began, 0, repr(error))
                    await asyncio.sleep(patient(AGAIN_SECONDS))

    async def _socket(self, session: aiohttp.ClientSession) -> None:
        headers = {"Host": self._plan.neighbour}
        number = 0
        async with session.ws_connect(f"{self._url}/socket", headers=headers) as socket:
            while not self._ending.is_set():
                began = time.monotonic()
                await socket.send_str(str(number))
                if (back := await socket.receive_str(timeout=patient(SILENCE_SECONDS))) != str(number):
                    raise ValueError(f"{back} came back for {number}")
                self.report.answered("websocket", time.monotonic() - began)
                number += 1
                await asyncio.sleep(patient(AGAIN_SECONDS))

    async def _events(self, session: aiohttp.ClientSession) -> None:
        headers = {"Host": self._plan.neighbour}
        endless = aiohttp.ClientTimeout(total=None, sock_read=patient(SILENCE_SECONDS))
        number = 0
        async with session.get(f"{self._url}/events", headers=headers, timeout=endless) as stream:
            while not self._ending.is_set():
                began = time.monotonic()
                event = await stream.content.readuntil(b"\n\n")
                if event != f"data: {number}\n\n".encode():
                    raise ValueError(f"{event!r} came as event {number}")
                self.report.answered("events", time.monotonic() - began)
                number += 1


async def main(plan: VisitPlan) -> None:
    load = Load(plan)
    running = asyncio.create_task(load.run(), name="load")
    closed = asyncio.create_task(_standard_input_closes(), name="load.end")
    while not closed.done():
        await asyncio.wait((running, closed), timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        report = load.report
        _say({"answered": report.answers.total(), "failed": report.failed.total()})
        if running.done():
            await running  # it ends by an error of ours only
    load.end()
    await running
    _say(vars(load.report))


async def _standard_input_closes() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(main(VisitPlan(**json.loads(sys.argv[1]))))
