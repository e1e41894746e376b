"""Start commands: what the shell is given, and which program gets the signals."""

from __future__ import annotations

import pytest

from stackyn_server.engine.commands import shell_arguments


@pytest.mark.parametrize(
    "command",
    [
        "node server.js",
        "npm run start -- --port $PORT",
        "/usr/bin/python -m http.server ${PORT:-8080}",
        "gunicorn 'app:create()' --bind 0.0.0.0:$PORT",
        'sh -c "a && b"',
    ],
)
def test_a_plain_command_replaces_the_shell(command: str) -> None:
    assert shell_arguments(command) == ["/bin/sh", "-c", f"exec {command}"]


@pytest.mark.parametrize(
    "command",
    [
        "npm run migrate && npm start",
        "cd web; npm start",
        "cd web",
        "node a.js & node b.js",
        "node server.js | tee log",
        "node server.js > log",
        "NODE_ENV=production node server.js",
        "if true; then node a.js; fi",
        "exec node server.js",
        "(node server.js)",
        "node server.js\nnode other.js",
        "node 'unbalanced",
        "",
    ],
)
def test_everything_else_stays_as_it_was_written(command: str) -> None:
    assert shell_arguments(command) == ["/bin/sh", "-c", command]
