"""The log of this process, and its messages to systemd.

Log events are named `noun.verb` and carry fields: JSON lines where a machine reads them, coloured text at a terminal.
Fields bound with `structlog.contextvars.bound_contextvars` (request, job, deployment) follow their task.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence

import structlog
from structlog.typing import Processor

# Libraries whose "info" records repeat our own events.
VERBOSE_LIBRARIES = ("aiodocker", "aiohttp.access", "apscheduler", "asyncio")
_MICROSECONDS = 1_000_000


def configure(level: str, *, redaction: Sequence[Processor] = (), json: bool | None = None) -> None:
    """Send all logging of this process to stderr: ours, the libraries' and Python's warnings.

    `level` is the least that is kept ("debug" to "error"). `redaction` are processors that see each whole record,
    tracebacks included, last before it is written. `json` None means: unless stderr is a terminal.
    """
    if json is None:
        json = not sys.stderr.isatty()
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A cached logger would keep this configuration after it is replaced, in tests and by another command.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # A plain traceback: the richer ones print local variables, and so secrets.
                structlog.processors.format_exc_info,
                *redaction,
                structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)


def notify(*states: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Notify systemd (sd_notify(3)) of "READY=1", "STATUS=…", "WATCHDOG=1", "STOPPING=1". False: it does not listen."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    with socket.socket(
        socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    ) as sender:
        try:
            # "@" stands for the NUL that begins an abstract address.
            sender.sendto("\n".join(states).encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError as error:
            logging.getLogger(__name__).warning("systemd.unreachable: %s", error.strerror)
            return False
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds within which systemd expects the next "WATCHDOG=1", or None without a watchdog."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / _MICROSECONDS if microseconds.isdigit() and int(microseconds) else None
