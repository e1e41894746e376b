"""What the owner of an app that is not ready is told: code, and the words that matter."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from stackyn_server.domain.apps import Protocol
from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.engine.container_state import ContainerState
from stackyn_server.engine.http_probe import ProbeReply
from stackyn_server.engine.sockets import ListeningSocket
from stackyn_server.pipeline.rollout.not_ready import exit_failure, why_not_ready, with_what_it_said
from stackyn_server.pipeline.rollout.port_search import Look

PORT = 8080


def on(address: str, port: int = PORT) -> ListeningSocket:
    read = ip_address(address)
    return ListeningSocket(read, port, read.is_loopback)


@pytest.mark.parametrize(
    ("replies", "listeners", "health_path", "protocol", "code", "words"),
    [
        ({}, [], None, "http", "APP_NOT_LISTENING", ["port 8080", "120 seconds"]),
        ({}, [on("127.0.0.1")], None, "http", "APP_ON_LOOPBACK_ONLY", ["only on 127.0.0.1", "0.0.0.0"]),
        ({}, [on("::1")], None, "http", "APP_ON_LOOPBACK_ONLY", ["only on ::1"]),
        ({}, [on("::")], None, "http", "APP_NOT_LISTENING", ["listens on port 8080", "IPv6 only"]),
        ({}, [on("0.0.0.0")], None, "http", "APP_NOT_LISTENING", ["does not accept"]),
        (
            {},
            [on("0.0.0.0", 3000), on("0.0.0.0", 4000), on("127.0.0.1", 9229)],
            None,
            "http",
            "APP_WRONG_PORT",
            ["port 3000, port 4000 and port 9229 (only on 127.0.0.1)", "port 8080 was expected"],
        ),
        (
            {3000: ProbeReply(True, 404)},
            [on("0.0.0.0", 3000)],
            "/ready",
            "http",
            "APP_WRONG_PORT",
            ["port 3000", "answered /ready with 404 Not Found"],
        ),
        (
            {},
            [on("127.0.0.1", 3000)],
            None,
            "http",
            "APP_ON_LOOPBACK_ONLY",
            ["port 3000 (only on 127.0.0.1)", "not on port 8080"],
        ),
        (
            {PORT: ProbeReply(True, 503, last_line="warming up")},
            [],
            "/ready",
            "http",
            "APP_UNHEALTHY",
            ["/ready", "503 Service Unavailable", "warming up"],
        ),
        ({PORT: ProbeReply(False)}, [], None, "http", "APP_UNHEALTHY", ["port 8080", "HTTP/1.1", "h2c"]),
        ({PORT: ProbeReply(False)}, [], None, "h2c", "APP_UNHEALTHY", ["port 8080", "HTTP/2"]),
    ],
)
def test_the_reason_and_what_was_seen(
    replies: dict[int, ProbeReply],
    listeners: list[ListeningSocket],
    health_path: str | None,
    protocol: Protocol,
    code: str,
    words: list[str],
) -> None:
    failure = why_not_ready(Look(0, replies, tuple(listeners)), PORT, health_path, 120, protocol=protocol)
    assert failure.code == code
    text = f"{failure.message} {failure.hint}"
    assert [word for word in words if word not in text] == []


def ended(code: int, *, out_of_memory: bool = False) -> ContainerState:
    return ContainerState(
        id="c", name="n", running=False, restarting=False, pid=0, exit_code=code, out_of_memory=out_of_memory,
        restart_count=0, started_at=None, finished_at=None, image="i", address=None, labels={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "lines", "code", "words"),
    [
        (ended(3), "out of luck", "APP_EXITED", ["code 3", "lines below"]),
        (ended(127), "sh: 1: gunicorn: not found", "APP_EXITED", ["code 127", "gunicorn was not found"]),
        (ended(127), "", "APP_EXITED", ["code 127"]),
        (ended(126), "sh: 1: ./go: Permission denied", "APP_EXITED", ["code 126", "./go can't be executed"]),
        (ended(1), "sudo: The \"no new privileges\" flag is set", "APP_EXITED", ["code 1", "sudo"]),
        (ended(1), "setgid(33) failed (1: Operation not permitted)", "APP_EXITED", ["no right"]),
        (ended(137), "", "APP_EXITED", ["memory"]),
        (ended(0, out_of_memory=True), "", "APP_OUT_OF_MEMORY", ["memory"]),
        (None, "", "APP_EXITED", ["removed"]),
    ],
)  # fmt: skip
def test_how_an_app_ended(state: ContainerState | None, lines: str, code: str, words: list[str]) -> None:
    failure = exit_failure(state, lines)
    assert failure.code == code
    text = f"{failure.message} {failure.hint}"
    assert [word for word in words if word not in text] == []
    assert state is None or failure.evidence == lines


REFUSED = 'connection to server at "db", port 5432 failed: Connection refused'


@pytest.mark.parametrize(
    ("code", "is_explained"),
    [("APP_NOT_LISTENING", True), ("APP_UNHEALTHY", True), ("APP_WRONG_PORT", False)],
)
def test_the_log_explains_an_app_that_stays_up(code: str, is_explained: bool) -> None:
    seen = Failure(FailureCode(code), "It is not ready.", "Wait.")

    failure = with_what_it_said(seen, f"starting\n{REFUSED}\nwaiting")

    assert failure.code == code
    assert failure.message.startswith("It is not ready.")
    assert ("could not reach a database" in failure.message) is is_explained
    assert (failure.hint == "Wait.") is not is_explained
    assert REFUSED in failure.evidence


def test_an_app_that_ran_out_of_its_own_heap_is_out_of_memory() -> None:
    output = "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"

    assert exit_failure(ended(134), output).code == "APP_OUT_OF_MEMORY"
