"""A stand-in for the engine that hangs and counts on demand, which the real one can't be made to do.

It speaks the few requests about containers and their logs that the server sends. What it claims of them is shown on the
real engine in `tests/engine`.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from stackyn_server import config
from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import labels as keys
from stackyn_server.engine.client import Engine
from stackyn_server.engine.timestamps import NANOSECONDS, from_nanoseconds

_VERSION = {"Version": "28.5", "ApiVersion": "1.51", "MinAPIVersion": "1.24"}
_STREAMS = {"stdout": 1, "stderr": 2}


@dataclass
class ScriptedContainer:
    """`lines` are (nanoseconds, stream, text). `hangs`: requests for its logs get no byte; `withheld` is set when one
    should have. `says_at_its_end` is written when it is stopped: text, nanoseconds."""

    id: str
    labels: dict[str, str] = field(default_factory=dict)
    lines: list[tuple[int, str, str]] = field(default_factory=list)
    running: bool = True
    hangs: bool = False
    says_at_its_end: tuple[str, int] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    withheld: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return f"stackyn-i{self.labels.get(keys.INSTANCE, '')}"

    def write(self, text: str, nanoseconds: int, stream: str = "stdout") -> None:
        self.lines.append((nanoseconds, stream, text))
        self.changed.set()

    def end(self) -> None:
        self.running = False
        self.changed.set()

    def start(self) -> None:
        self.running = True


class ScriptedEngine:
    """`requests` counts what was asked, and `asked` is set by each; `following` counts the open streams of logs by
    container."""

    def __init__(self, socket: Path, installation: str = "scripted") -> None:
        self.socket = socket
        self.installation = installation
        self.containers: dict[str, ScriptedContainer] = {}
        self.requests: Counter[str] = Counter()
        self.following: Counter[str] = Counter()
        self.asked = asyncio.Event()
        self.hangs_at_once = False  # a log that hangs gets no header either

    def add(self, instance: int) -> ScriptedContainer:
        """A running container of an instance; its id is `c<instance>`."""
        labels = {
            keys.INSTALLATION: self.installation,
            keys.INSTANCE: str(InstanceId(instance)),
            keys.ROLE: keys.Role.APP.value,
        }
        container = ScriptedContainer(f"c{instance}", labels)
        self.containers[container.id] = container
        return container

    def client(self, **settings: Any) -> Engine:
        engine_settings = config.EngineSettings(socket=self.socket, **settings)
        return Engine(engine_settings, config.NetworkSettings(), self.installation)

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response(_VERSION)

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response({"MemTotal": 1 << 30, "NCPU": 2})

    async def _list(self, request: web.Request) -> web.Response:
        wanted = json.loads(request.query["filters"])["label"]
        return web.json_response(
            [
                {"Id": c.id, "Names": [f"/{c.name}"], "State": "running", "Labels": c.labels}
                for c in self.containers.values()
                if all(c.labels.get(label.partition("=")[0]) == label.partition("=")[2] for label in wanted)
            ]
        )

    async def _inspect(self, request: web.Request) -> web.Response:
        container = self._container(request)
        state = {"Running": container.running, "Pid": 1, "ExitCode": 0}
        configuration = {"Labels": container.labels}
        return web.json_response(
            {
                "Id": container.id,
                "Name": f"/{container.name}",
                "State": state,
                "Config": configuration,
                "Image": "i",
            }
        )

    async def _stop(self, request: web.Request) -> web.Response:
        container = self._container(request)
        if container.says_at_its_end is not None:
            container.write(*container.says_at_its_end)
            container.says_at_its_end = None
        container.end()
        return web.Response(status=204)

    async def _update(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def _remove(self, request: web.Request) -> web.Response:
        container = self._container(request)
        container.end()
        del self.containers[container.id]
        return web.Response(status=204)

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        container = self._container(request)
        follow = request.query["follow"] == "true"
        self._count("follow" if follow else "read")
        since = _nanoseconds(request.query.get("since", "0"))
        tail = None if request.query["tail"] == "all" else int(request.query["tail"])
        response = web.StreamResponse()
        if container.hangs and self.hangs_at_once:
            await asyncio.Event().wait()
        await response.prepare(request)
        self.following[container.id] += follow
        try:
            old = [line for line in container.lines if line[0] >= since]
            sent = len(container.lines)
            for line in old[len(old) - tail :] if tail is not None and tail < len(old) else old:
                await _send(container, response, line)
            while follow and container.running:
                await container.changed.wait()
                container.changed.clear()
                while sent < len(container.lines):
                    sent += 1
                    await _send(container, response, container.lines[sent - 1])
            if container.hangs:
                await asyncio.Event().wait()
        finally:
            self.following[container.id] -= follow
        return response

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._count("events")
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    def _count(self, what: str) -> None:
        self.requests[what] += 1
        self.asked.set()

    def _container(self, request: web.Request) -> ScriptedContainer:
        container = self.containers.get(request.match_info["container"])
        if container is None:
            raise web.HTTPNotFound(text=json.dumps({"message": "absent"}), content_type="application/json")
        return container

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[ScriptedEngine]:
        app = web.Application()
        one = "/{version}/containers/{container}"
        app.add_routes(
            [
                web.get("/version", self._version),
                web.get("/{version}/info", self._info),
                web.get("/{version}/events", self._events),
                web.get("/{version}/containers/json", self._list),
                web.get(f"{one}/json", self._inspect),
                web.get(f"{one}/logs", self._logs),
                web.post(f"{one}/stop", self._stop),
                web.post(f"{one}/update", self._update),
                web.delete(one, self._remove),
            ]
        )
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(self.socket)).start()
        try:
            yield self
        finally:
            await runner.cleanup()


async def _send(
    container: ScriptedContainer, response: web.StreamResponse, line: tuple[int, str, str]
) -> None:
    if container.hangs:
        container.withheld.set()
        return
    nanoseconds, stream, text = line
    at = from_nanoseconds(nanoseconds).strftime("%Y-%m-%dT%H:%M:%S")
    payload = f"{at}.{nanoseconds % NANOSECONDS:09d}Z {text}\n".encode()
    await response.write(struct.pack(">BxxxI", _STREAMS[stream], len(payload)) + payload)


def _nanoseconds(parameter: str) -> int:
    seconds, _, fraction = parameter.partition(".")
    return int(seconds) * NANOSECONDS + int(fraction.ljust(9, "0"))
