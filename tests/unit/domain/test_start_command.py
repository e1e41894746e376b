"""A start command becomes the container's first process, so that signals reach the app."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stackyn_server.domain.start_command import foreground


@pytest.mark.parametrize(
    ("command", "run"),
    [
        ("gunicorn app:app", "exec gunicorn app:app"),
        ("gunicorn -b :${PORT:-8000} app:app", "exec gunicorn -b :${PORT:-8000} app:app"),
        ("migrate && serve --port $PORT", "migrate && exec serve --port $PORT"),
        ("a; b;c d", "a; b; exec c d"),
        ("echo 'a && b; c' && serve", "echo 'a && b; c' && exec serve"),
        ("serve > /tmp/log 2>/tmp/err", "exec serve > /tmp/log 2>/tmp/err"),
        ("a || b", "a || b"),
        ("a | b", "a | b"),
        ("a & b", "a & b"),
        ("(cd x; serve)", "(cd x; serve)"),
        ("serve $(cat port)", "serve $(cat port)"),
        ("KEY=value serve", "KEY=value exec serve"),
        ("a && KEY=$value OTHER= serve -p 1", "a && KEY=$value OTHER= exec serve -p 1"),
        ("KEY='a b' serve", "KEY='a b' serve"),
        ("KEY=value", "KEY=value"),
        ("node 'app:create()' --bind 0.0.0.0:$PORT", "exec node 'app:create()' --bind 0.0.0.0:$PORT"),
        ('sh -c "a && b"', 'exec sh -c "a && b"'),
        ("cd web", "cd web"),
        ("", ""),
        ("cd app && serve", "cd app && exec serve"),
        ("exec serve", "exec serve"),
        ("if a; then b; fi", "if a; then b; fi"),
        ("serve 'unclosed", "serve 'unclosed"),
        ("a\nb", "a\nb"),
        ("serve;", "serve;"),
    ],
)
def test_the_last_command_replaces_the_shell_where_that_is_safe(command: str, run: str) -> None:
    assert foreground(command) == run


@pytest.mark.parametrize(
    "command",
    [
        "echo a b",
        "true && echo 'x;y' \"q\"",
        "V=1; echo ${V:-2}",
        "cd / ; pwd",
        "false; echo é",
        "V=1 sh -c 'echo $V'",
    ],
)
def test_the_rewritten_command_does_the_same(command: str) -> None:
    def output_of(line: str) -> bytes:
        return subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout

    assert output_of(foreground(command)) == output_of(command)


@pytest.mark.parametrize("before", ["", "true && ", "cd /; ", "V=1 "])
def test_the_last_command_of_a_line_gets_the_signals(before: str) -> None:
    program = (
        "import os, signal; signal.signal(15, lambda *_: os._exit(7)); print(1, flush=True); signal.pause()"
    )
    line = foreground(f"{before}{sys.executable} -c '{program}'")
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"1\n"
        process.terminate()
        assert process.wait(10) == 7
