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
        "www/cgi-bin/digest": Program(
            b"#!/bin/busybox sh\necho; /bin/busybox sha256sum | /bin/busybox head -c 64\n"
        ),
        "www/cgi-bin/env": Program(b'#!/bin/busybox sh\necho; echo "GREETING=$GREETING PORT=$PORT"\n'),
    }


_UPGRADING = b"""\
#!/bin/busybox sh
upgrade=
while read -r name rest; do
  case $name in Upgrade:) upgrade=1 ;; ?) break ;; esac
done
if [ "$upgrade" ]; then
  printf 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n'
  exec /bin/busybox cat
fi
printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nhi'
"""


def upgrading_app() -> Tree:
    """An app that says hi, and sends back every byte once a connection was upgraded to something else."""
    dockerfile = DOCKERFILE.replace("COPY start /start", "COPY start handle /")
    start = "exec /bin/busybox nc -ll -p $PORT -e /handle\n"
    return {**tiny_app(start=start, dockerfile=dockerfile), "handle": Program(_UPGRADING)}
