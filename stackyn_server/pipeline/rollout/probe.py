"""The probe: send requests to the candidate's address, as a visitor would, until it is ready.

A container that ends fails the probe at once, with its last lines. Everything else has time until the deadline: an app
may warm up, and the port that it opens first need not be the one that it serves on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from stackyn_server.config import ProbeSettings
from stackyn_server.diagnosis.transcript import LAST_LINES, LONGEST_RAW
from stackyn_server.domain.apps import DEFAULT_PROTOCOL, Protocol
from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.engine import containers, endings, http_probe, sockets
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import ContainerState
from stackyn_server.engine.http_probe import ProbeReply, Visitor
from stackyn_server.pipeline.rollout.not_ready import (
    EndedFromOutside,
    exit_failure,
    why_not_ready,
    with_what_it_said,
)
from stackyn_server.pipeline.rollout.port_search import Look, PortSearch

_HOME = "/"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Target:
    """Where the app has to answer, and how it is asked.

    `health_path` None: any answer to a request for `/` is enough. `known_ports` may serve instead of `port`, in this
    order; `is_fixed`: no other port may.
    """

    container: str
    address: IPv4Address
    port: int
    health_path: str | None
    visitor: Visitor
    protocol: Protocol = DEFAULT_PROTOCOL
    known_ports: tuple[int, ...] = ()
    is_fixed: bool = True

    @property
    def path(self) -> str:
        return self.health_path or _HOME

    def is_ready(self, reply: ProbeReply) -> bool:
        return reply.is_success if self.health_path else reply.speaks_protocol


async def until_ready(
    engine: Engine,
    target: Target,
    settings: ProbeSettings,
    *,
    within_seconds: float,
    steady_seconds: float = 0,
    say: Say = lambda _: None,
) -> int:
    """Return the port of the app when it has answered there and gone on answering for `steady_seconds`.

    Raises `DeploymentFailed` (APP_EXITED, APP_OUT_OF_MEMORY; after `within_seconds` APP_NOT_LISTENING, APP_UNHEALTHY,
    APP_ON_LOOPBACK_ONLY, APP_WRONG_PORT) or `EndedFromOutside`.
    """
    watch = _Watch(engine, target, settings, say)
    try:
        async with asyncio.timeout(within_seconds) as limit:
            return await watch.until_steady(steady_seconds)
    except TimeoutError:
        if not limit.expired():
            raise
        return await watch.at_the_deadline(within_seconds)


class _Watch:
    """One candidate from its start until it is ready."""

    def __init__(self, engine: Engine, target: Target, settings: ProbeSettings, say: Say) -> None:
        self._engine = engine
        self._target = target
        self._settings = settings
        self._say = say
        patience = None if target.is_fixed else settings.other_port_seconds
        self._search = PortSearch(target.port, target.known_ports, patience)
        self._look = Look()
        self._logged: set[object] = set()

    async def until_steady(self, steady_seconds: float) -> int:
        clock = asyncio.get_running_loop().time
        answering: int | None = None
        since = 0.0
        while True:
            state = await running_state(self._engine, self._target.container)
            self._look = await self._look_around(state.pid)
            port = self._search.choose(self._look)
            reply = self._look.replies.get(port) if port is not None else None
            if port is None or reply is None or not self._target.is_ready(reply):
                answering = None
                self._log_waiting(port, reply)
            elif port != answering:
                answering, since = port, clock()
                self._log_answering(port, reply, steady_seconds)
            if answering is not None and clock() - since >= steady_seconds:
                await running_state(self._engine, self._target.container)
                return answering
            await asyncio.sleep(self._settings.interval_seconds)  # another process offers nothing to wait for

    async def at_the_deadline(self, waited_seconds: float) -> int:
        """Return the only port that serves, or raise the reason why none does."""
        await running_state(self._engine, self._target.container)
        port = self._search.fallback(self._look)
        reply = self._look.replies.get(port) if port is not None else None
        if port is not None and reply is not None and self._target.is_ready(reply):
            self._log_answering(port, reply, 0)
            return port
        failure = why_not_ready(
            self._look,
            self._target.port,
            self._target.health_path,
            waited_seconds,
            protocol=self._target.protocol,
        )
        output = await end_of_log(self._engine, self._target.container)
        raise DeploymentFailed(await asyncio.to_thread(with_what_it_said, failure, output))

    async def _look_around(self, pid: int) -> Look:
        at = asyncio.get_running_loop().time()
        replies = await self._replies(self._search.first_asked)
        if self._target.port in replies:
            return Look(at, replies)
        listeners = tuple(await asyncio.to_thread(sockets.listening_sockets, pid))
        replies |= await self._replies(self._search.also_asked(listeners))
        return Look(at, replies, listeners)

    async def _replies(self, ports: tuple[int, ...]) -> dict[int, ProbeReply]:
        replies = await asyncio.gather(*(self._ask(port) for port in ports))
        return {port: reply for port, reply in zip(ports, replies, strict=True) if reply is not None}

    async def _ask(self, port: int) -> ProbeReply | None:
        return await http_probe.send_probe(
            self._target.address,
            port,
            self._target.path,
            self._target.visitor,
            protocol=self._target.protocol,
            timeout_seconds=self._settings.answer_seconds,
        )

    def _log_waiting(self, port: int | None, reply: ProbeReply | None) -> None:
        """Log once how the app answers while it isn't ready."""
        if port is None or reply is None or not reply.speaks_protocol:
            return
        self._once(
            (port, reply.status),
            f"It answers {self._target.path} with {reply.description}: waiting until it is ready.",
        )

    def _log_answering(self, port: int, reply: ProbeReply, steady_seconds: float) -> None:
        expected = self._target.port
        if port != expected:
            self._once(
                port,
                f"It does not listen on port {expected}, which PORT named, but answers on port {port}: that one is "
                "used. Set it as the port in the app's settings to have it expected.",
            )
        leads_to = f", which leads to {reply.location}" if reply.location else ""
        what = self._target.path if self._target.protocol == "http" else "on its port"
        line = f"It answers {what} with {reply.description}{leads_to}."
        if steady_seconds:
            line += f" It gets visitors when it has gone on answering for {steady_seconds:g} s."
        self._once((port, reply.status, True), line)

    def _once(self, key: object, line: str) -> None:
        if key not in self._logged:
            self._logged.add(key)
            self._say(line)


async def running_state(engine: Engine, container: str) -> ContainerState:
    """Return the container's state. Raises `DeploymentFailed` with its last lines when it has ended, `EndedFromOutside`
    when somebody else ended it."""
    state = await containers.inspect(engine, container)
    if state is not None and state.running:
        return state
    if state is not None and await endings.was_ended_from_outside(engine, state):
        raise EndedFromOutside
    output = await end_of_log(engine, container) if state else ""
    raise DeploymentFailed(await asyncio.to_thread(exit_failure, state, output))


async def end_of_log(engine: Engine, container: str) -> str:
    return await containers.last_lines(engine, container, LAST_LINES, longest=LONGEST_RAW)
