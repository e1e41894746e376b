"""Who listens on the ports of the proxy beside it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from stackyn_server.ingress.other_listeners import OtherListener, other_listeners, port_shared

LISTEN = """
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def second(port: int) -> Iterator[int]:
    """The process id of a program that listens on the same port."""
    command = (sys.executable, "-c", LISTEN, str(port))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


def test_our_own_listener_is_nobody_else(port: int) -> None:
    assert other_listeners([port], [os.getpid()]) == []


def test_a_second_listener_is_named(port: int, second: int) -> None:
    (other,) = other_listeners([port], [second])
    assert (other.port, other.pid) == (port, os.getpid())

    others = other_listeners([port], [])
    assert {other.pid for other in others} == {os.getpid(), second}


def test_the_processes_of_a_proxy_are_its_own(port: int, second: int) -> None:
    """With the engine's init as first process of its container, the proxy is a child."""
    assert other_listeners([port], [os.getpid()]) == []


def test_the_error_names_program_and_container() -> None:
    known = OtherListener(80, 4711, "traefik", "c0ffee" * 10 + "abcd")

    message = port_shared([known, OtherListener(443)], ["stackyn-ingress-old", ""]).message

    assert message == (
        "Process 4711 (traefik) in the container stackyn-ingress-old listens on port 80 beside the proxy. "
        "Another program listens on port 443 beside the proxy."
    )
    assert "c0ffeec0ffee listens" in port_shared([known], [""]).message
