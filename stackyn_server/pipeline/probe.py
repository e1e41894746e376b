"""Is the candidate ready? Asked by us, at its address; nothing is needed inside the image.

A container that ends fails at once with its last lines. One that listens where nobody can reach it is told so as
soon as it has stayed that way for a while, instead of at the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from stackyn_server.config import Probe
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.engine import containers, endings, sockets
from stackyn_server.engine.answering import answers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_state import KILLED, ContainerState
from stackyn_server.engine.sockets import Listener

_CONNECT_SECONDS = 2.0
_EVIDENCE_LINES = 40
_MORE_MEMORY = "Give it more memory in its settings, or make it use less."


@dataclass(frozen=True, slots=True)
class Target:
    """Where the app has to answer. `health_path` None: accepting a connection is enough."""

    container: str
    address: IPv4Address
    port: int
    health_path: str | None

    async def answers(self) -> bool:
        return await answers(self.address, self.port, self.health_path, timeout_seconds=_CONNECT_SECONDS)


class EndedFromOutside(TransientFailure):
    """Somebody or the engine on its way out has ended the container: that says nothing about the app."""

    def __init__(self) -> None:
        super().__init__(
            Failure(
                FailureCode.ENGINE_UNAVAILABLE,
                "The app's container was ended from outside while it started.",
                "Nothing needs to be done: it is tried again.",
            )
        )


async def until_ready(engine: Engine, target: Target, settings: Probe, *, steady_seconds: float) -> None:
    """Return when the app has answered and gone on answering for `steady_seconds`.

    Raises `DeploymentFailed` (APP_EXITED, APP_OUT_OF_MEMORY, APP_ON_LOOPBACK_ONLY, APP_WRONG_PORT) or
    `EndedFromOutside`. Has no deadline of its own: the caller's timeout asks `why_not_ready` for the reason.
    """
    loop = asyncio.get_running_loop()
    answering_since: float | None = None
    misplaced_since: float | None = None
    async for _ in _ticks(settings.interval_seconds):
        state = await running_state(engine, target.container)
        if await target.answers():
            answering_since = answering_since or loop.time()
            if loop.time() - answering_since >= steady_seconds:
                await running_state(engine, target.container)
                return
            continue
        answering_since = None
        misplaced = misplacement(await asyncio.to_thread(sockets.listening, state.pid), target.port)
        if misplaced is None:
            misplaced_since = None
            continue
        misplaced_since = misplaced_since or loop.time()
        if loop.time() - misplaced_since >= settings.misplaced_seconds:
            raise DeploymentFailed(await _with_evidence(engine, target, misplaced))


async def why_not_ready(engine: Engine, target: Target, waited_seconds: float) -> Failure:
    """Explain an app that was not ready in time, by what it listens on."""
    state = await running_state(engine, target.container)
    listeners = await asyncio.to_thread(sockets.listening, state.pid)
    if any(listener.port == target.port and not listener.loopback for listener in listeners):
        failure = Failure(
            FailureCode.APP_UNHEALTHY,
            f"The app accepted connections but did not answer {target.health_path} "
            f"with a success within {waited_seconds:.0f} seconds.",
            "Open that path locally, or change health_path in the app's settings.",
        )
    else:
        failure = misplacement(listeners, target.port) or Failure(
            FailureCode.APP_NOT_LISTENING,
            f"The app did not listen on port {target.port} within {waited_seconds:.0f} seconds.",
            "Listen on the port that the environment variable PORT names, on 0.0.0.0.",
        )
    return await _with_evidence(engine, target, failure)


def misplacement(listeners: list[Listener], port: int) -> Failure | None:
    """Say how the app listens where nobody can reach it; None when it doesn't listen at all (yet)."""
    if any(listener.port == port and listener.loopback for listener in listeners):
        return Failure(
            FailureCode.APP_ON_LOOPBACK_ONLY,
            f"The app listens on port {port}, but only on 127.0.0.1, where nobody outside can reach it.",
            "Listen on 0.0.0.0 instead.",
        )
    others = sorted({listener.port for listener in listeners})
    if others:
        named = ", ".join(str(other) for other in others)
        return Failure(
            FailureCode.APP_WRONG_PORT,
            f"The app listens on port {named}, but port {port} was expected.",
            "Listen on the port that the environment variable PORT names, or set port in the app's settings.",
        )
    return None


async def running_state(engine: Engine, container: str) -> ContainerState:
    """Return the container's state; raise `DeploymentFailed` with its last lines when it has ended, `EndedFromOutside`
    when that was none of its own doing."""
    state = await containers.inspect(engine, container)
    if state is not None and state.running:
        return state
    if state is not None and await endings.was_from_outside(engine, state):
        raise EndedFromOutside
    lines = await containers.last_lines(engine, container, _EVIDENCE_LINES) if state else ""
    raise DeploymentFailed(exit_failure(state, lines))


def exit_failure(state: ContainerState | None, lines: str) -> Failure:
    if state is None:
        return Failure(FailureCode.APP_EXITED, "The app's container was removed.", "Deploy again.")
    if state.out_of_memory:
        return Failure(
            FailureCode.APP_OUT_OF_MEMORY,
            "The app was ended because it used more memory than it is allowed.",
            _MORE_MEMORY,
            lines,
        )
    if state.exit_code == KILLED:  # not by the engine, or it would have been `EndedFromOutside`
        return Failure(
            FailureCode.APP_EXITED,
            f"The app was killed (exit code {KILLED}), most likely because it used more memory than it is allowed.",
            _MORE_MEMORY,
            lines,
        )
    return Failure(
        FailureCode.APP_EXITED,
        f"The app exited with code {state.exit_code} instead of staying up.",
        "Its last lines say why; an app must keep running in the foreground.",
        lines,
    )


async def _with_evidence(engine: Engine, target: Target, failure: Failure) -> Failure:
    lines = await containers.last_lines(engine, target.container, _EVIDENCE_LINES)
    return Failure(failure.code, failure.message, failure.hint, lines)


async def _ticks(interval_seconds: float) -> AsyncIterator[None]:
    """Yield at once and then once an interval: there is nothing to wait on inside somebody else's process."""
    while True:
        yield
        await asyncio.sleep(interval_seconds)
