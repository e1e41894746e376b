"""Why an app is not ready, in sentences for its owner: how it ended, or where it listens and what it answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from stackyn_server.diagnosis.diagnose import diagnose, error_excerpt
from stackyn_server.diagnosis.failure_kind import FailedStep
from stackyn_server.diagnosis.transcript import transcript_of
from stackyn_server.domain.apps import DEFAULT_PROTOCOL, Protocol
from stackyn_server.domain.failures import Failure, FailureCode, TransientFailure
from stackyn_server.engine.container_state import SIGKILLED, ContainerState
from stackyn_server.engine.http_probe import ProbeReply
from stackyn_server.engine.sockets import ListeningSocket
from stackyn_server.pipeline.rollout.port_search import Look

_MORE_MEMORY = "Give it more memory in its settings, or make it use less."
# An app that listens on the wrong port is not explained by an error that did not end it.
_MAY_BE_EXPLAINED = (FailureCode.APP_NOT_LISTENING, FailureCode.APP_UNHEALTHY)
_LISTEN = "Listen on the port that the environment variable PORT names, on 0.0.0.0"


class EndedFromOutside(TransientFailure):
    """The container was ended through the engine, not by the app."""

    def __init__(self) -> None:
        super().__init__(
            Failure(
                FailureCode.ENGINE_UNAVAILABLE,
                "The app's container was ended from outside while it started.",
                "Nothing needs to be done: it is tried again.",
            )
        )


def exit_failure(state: ContainerState | None, output: str) -> Failure:
    """Explain how an app ended; `output` is the end of its log."""
    if state is None:
        return Failure(FailureCode.APP_EXITED, "The app's container was removed.", "Deploy again.")
    printed = transcript_of(output).lines()
    if state.out_of_memory:
        return Failure(
            FailureCode.APP_OUT_OF_MEMORY,
            "The app was ended because it used more memory than it is allowed.",
            _MORE_MEMORY,
            error_excerpt(printed),
        )
    if state.exit_code == SIGKILLED:  # not by the engine, or it would have been `EndedFromOutside`
        return Failure(
            FailureCode.APP_EXITED,
            f"The app was killed (exit code {SIGKILLED}), most likely because it used more memory than it is allowed.",
            _MORE_MEMORY,
            error_excerpt(printed),
        )
    if diagnosis := diagnose(printed, FailedStep.START, state.exit_code):
        return Failure(
            diagnosis.kind.start_code,
            f"{diagnosis.message} The app exited with code {state.exit_code}.",
            diagnosis.hint,
            diagnosis.evidence,
        )
    return Failure(
        FailureCode.APP_EXITED,
        f"The app exited with code {state.exit_code} instead of staying up.",
        "The lines below say why; an app must keep running in the foreground.",
        error_excerpt(printed),
    )


def with_what_it_said(failure: Failure, output: str) -> Failure:
    """Return the failure with what the end of the app's log says about it."""
    printed = transcript_of(output).lines()
    diagnosis = diagnose(printed, FailedStep.START) if failure.code in _MAY_BE_EXPLAINED else None
    if diagnosis is None:
        return replace(failure, evidence=error_excerpt(printed))
    return replace(
        failure,
        message=f"{failure.message} {diagnosis.message}",
        hint=diagnosis.hint,
        evidence=diagnosis.evidence,
    )


def why_not_ready(
    look: Look,
    port: int,
    health_path: str | None,
    waited_seconds: float,
    *,
    protocol: Protocol = DEFAULT_PROTOCOL,
) -> Failure:
    """Explain an app that was not ready in time by the last look at it; `port` was expected."""
    within = f"within {waited_seconds:.0f} seconds"
    if port in look.replies:
        return _unhealthy(look.replies[port], port, health_path, within, protocol)
    own = [listener for listener in look.listeners if listener.port == port]
    others = [listener for listener in look.listeners if listener.port != port]
    if own:
        return _unreachable(own, port)
    if not others:
        return Failure(
            FailureCode.APP_NOT_LISTENING,
            f"The app did not listen on port {port} {within}.",
            f"{_LISTEN}.",
        )
    if all(listener.loopback for listener in others):
        return Failure(
            FailureCode.APP_ON_LOOPBACK_ONLY,
            f"The app listens on {_named(others)}, where nobody outside can reach it, and not on port {port}.",
            f"{_LISTEN}, instead of 127.0.0.1.",
        )
    answered = "".join(
        f" Port {other_port} answered {health_path or '/'} with {reply.description}."
        for other_port, reply in sorted(look.replies.items())
        if reply.speaks_protocol
    )
    return Failure(
        FailureCode.APP_WRONG_PORT,
        f"The app listens on {_named(others)}, but port {port} was expected.{answered}",
        "Listen on the port that the environment variable PORT names, or set port in the app's settings.",
    )


def _unhealthy(
    reply: ProbeReply, port: int, health_path: str | None, within: str, protocol: Protocol
) -> Failure:
    if reply.speaks_protocol:
        last_line = f" Its answer ends with: {reply.last_line}" if reply.last_line else ""
        return Failure(
            FailureCode.APP_UNHEALTHY,
            f"The app did not answer {health_path} with a success {within}: the last answer was {reply.description}."
            f"{last_line}",
            "Open that path locally, or change health_path in the app's settings.",
        )
    if protocol == "h2c":
        return Failure(
            FailureCode.APP_UNHEALTHY,
            f"The app accepts connections on port {port}, but did not speak HTTP/2 without TLS {within}.",
            "Have it serve HTTP/2 with prior knowledge (h2c), or set protocol to http in the app's settings.",
        )
    return Failure(
        FailureCode.APP_UNHEALTHY,
        f"The app accepts connections on port {port}, but did not answer a request for {health_path or '/'} over "
        f"HTTP/1.1 {within}.",
        "Have it answer HTTP without TLS; for gRPC, or HTTP/2 alone, set protocol to h2c in the app's settings.",
    )


def _unreachable(own: list[ListeningSocket], port: int) -> Failure:
    """It listens on the right port and does not accept our connections."""
    if all(listener.loopback for listener in own):
        return Failure(
            FailureCode.APP_ON_LOOPBACK_ONLY,
            f"The app listens on port {port}, but only on {own[0].address}, where nobody outside can reach it.",
            "Listen on 0.0.0.0 instead.",
        )
    if all(listener.loopback or listener.is_ipv6 for listener in own):
        return Failure(
            FailureCode.APP_NOT_LISTENING,
            f"The app listens on port {port}, but on IPv6 only, and apps are reached over IPv4.",
            "Listen on 0.0.0.0, or on :: for both (without the socket option IPV6_V6ONLY).",
        )
    return Failure(
        FailureCode.APP_NOT_LISTENING,
        f"The app listens on port {port}, but does not accept connections.",
        f"{_LISTEN}.",
    )


def _named(listeners: Iterable[ListeningSocket]) -> str:
    """Return `port 3000 and port 9229 (only on 127.0.0.1)`."""
    by_port: dict[int, list[ListeningSocket]] = {}
    for listener in listeners:
        by_port.setdefault(listener.port, []).append(listener)
    named = [
        f"port {port} (only on {group[0].address})"
        if all(listener.loopback for listener in group)
        else f"port {port} (only over IPv6)"
        if all(listener.is_ipv6 and not listener.address.is_unspecified for listener in group)
        else f"port {port}"
        for port, group in sorted(by_port.items())
    ]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
