"""Tiny apps as repositories: a static busybox on an empty image, built in well under a second."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from tests.git_server import Program

DOCKERFILE = """\
FROM scratch
COPY busybox /bin/busybox
COPY www /www
COPY start /start
USER 1000
EXPOSE 8080
CMD ["/bin/busybox", "sh", "/start"]
"""
SERVE = "exec /bin/busybox httpd -f -p $PORT -h /www\n"

Tree = dict[str, bytes | str]


@functools.cache
def busybox() -> Program:
    """Debian's static busybox (`busybox-static`, which scripts/test installs)."""
    found = shutil.which("busybox")
    assert found, "busybox-static is missing: run scripts/test"
    return Program(Path(found).read_bytes())


def tiny_app(greeting: str = "hello", *, start: str = SERVE, dockerfile: str = DOCKERFILE) -> Tree:
    """An app that answers `greeting` on /, whose CMD runs the shell script `start`."""
    return {
        "Dockerfile": dockerfile,
        "busybox": busybox(),
        "start": start,
        "www/index.html": greeting,
        "www/cgi-bin/slow": Program(b"#!/bin/busybox sh\n/bin/busybox sleep 2\necho; echo slow\n"),
        "www/cgi-bin/env": Program(b'#!/bin/busybox sh\necho; echo "GREETING=$GREETING PORT=$PORT"\n'),
    }
