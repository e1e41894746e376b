"""Start commands become the container's first process, so that signals reach the app."""

from __future__ import annotations

import subprocess

import pytest

from stackyn_server.buildplan.commands import as_cmd, foreground


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
        ("KEY=value serve", "KEY=value serve"),
        ("a && KEY=value serve", "a && KEY=value serve"),
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
    "command", ["echo a b", "true && echo 'x;y' \"q\"", "V=1; echo ${V:-2}", "cd / ; pwd", "false; echo é"]
)
def test_the_rewritten_command_does_the_same(command: str) -> None:
    def said(line: str) -> bytes:
        return subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout

    assert said(foreground(command)) == said(command)


def test_quotes_and_backslashes_survive_in_the_dockerfile() -> None:
    assert as_cmd('serve "a b" \\$x é') == 'CMD ["sh", "-c", "exec serve \\"a b\\" \\\\$x é"]'
