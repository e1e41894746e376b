"""The sentences in which shells and kernels say why a program could not run."""

from __future__ import annotations

import pytest

from stackyn_server.pipeline.last_words import missing_program, missing_right, refused_program


@pytest.mark.parametrize(
    ("lines", "program"),
    [
        ("sh: 1: gunicorn: not found", "gunicorn"),
        ("/bin/sh: gunicorn: not found", "gunicorn"),
        ("bash: line 1: gunicorn: command not found", "gunicorn"),
        ("starting\n/start.sh: line 3: uvicorn: not found\n", "uvicorn"),
        ("./run: 2: exec: node: not found", "node"),
        ("env: \u2018node\u2019: No such file or directory", "node"),
        ("/usr/bin/env: 'python': No such file or directory", "python"),
        ("env: can't execute 'ruby': No such file or directory", "ruby"),
        ("[FATAL tini (7)] exec gunicorn failed: No such file or directory", "gunicorn"),
        ("bash: ./start.sh: No such file or directory", "./start.sh"),
        ("Error 404: page not found here", ""),
        ("", ""),
    ],
)
def test_the_program_that_was_not_found(lines: str, program: str) -> None:
    assert missing_program(lines) == program


@pytest.mark.parametrize(
    ("lines", "program"),
    [
        ("sh: 1: ./start.sh: Permission denied", "./start.sh"),
        ("bash: line 1: ./app: cannot execute binary file: Exec format error", "./app"),
        ("[FATAL tini (7)] exec ./start.sh failed: Permission denied", "./start.sh"),
        ("[FATAL tini (7)] exec /app failed: Exec format error", "/app"),
        ("/bin/sh: bin: Is a directory", "bin"),
        ("nothing of the kind", ""),
    ],
)
def test_the_program_that_could_not_be_executed(lines: str, program: str) -> None:
    assert refused_program(lines) == program


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ('sudo: The "no new privileges" flag is set, which prevents sudo from running as root.', "sudo"),
        ("bind() to 0.0.0.0:80 failed (13: Permission denied)", "port"),
        ("Error: listen EACCES: permission denied 0.0.0.0:80", "port"),
        ("[emerg] setgid(33) failed (1: Operation not permitted)", "no right"),
        ("mount: /mnt: Operation not permitted.", "no right"),
        ("OSError: [Errno 1] EPERM", "no right"),
        ("requires CAP_NET_ADMIN", "no right"),
        ("open /data/x: permission denied", ""),
        ("Traceback: KeyError 'x'", ""),
    ],
)
def test_a_missing_right_is_recognised(lines: str, word: str) -> None:
    hint = missing_right(lines)
    assert word in hint if word else hint == ""
