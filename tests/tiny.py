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
    executable = shutil.which("busybox")
    assert executable, "busybox-static is missing: run scripts/test"
    return Program(Path(executable).read_bytes())


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


# Without a program between the socket and the script: httpd cuts the answer to a POST now and then.
_TALK = r"""
#!/bin/busybox sh
length=0 upgrade=
read -r method path rest
while read -r name value; do
  value=${value%?}
  case $name in Content-Length:) length=$value ;; Upgrade:) upgrade=1 ;; ?) break ;; esac
done
if [ $upgrade ]; then
  printf 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
  exec cat
fi
case $method$path in
  POST*) digest=$(head -c $length | sha256sum); said=${digest%% *} ;;
  */slow) sleep 2; said=slow ;;
  *) said=$(cat /www/index.html) ;;
esac
printf 'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' ${#said} "$said"
"""


def talking_app(greeting: str = "hello") -> Tree:
    """An app that answers `greeting`, a POST with the SHA-256 of its body, `/slow` after 2 s, and sends back every byte
    of a connection that was upgraded to something else."""
    dockerfile = DOCKERFILE.replace("COPY start /start", "COPY start talk /")
    start = "exec /bin/busybox nc -ll -p $PORT -e /talk\n"
    tree = tiny_app(greeting, start=start, dockerfile=dockerfile)
    return {**tree, "talk": Program(_TALK.lstrip().encode())}
