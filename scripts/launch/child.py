"""The server as a child of scripts/run."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping

from scripts.launch.installation import Installation, NotStarted

START_SECONDS = 300  # an emulated machine that does something else too needs two minutes
LOG_LINES_SHOWN = 20
_DATAGRAM_BYTES = 4096


class ServerChild:
    """In a session of its own, so that Ctrl-C reaches it once, from us, in an orderly way."""

    def __init__(self, installation: Installation, environment: Mapping[str, str]) -> None:
        self._installation = installation
        self._environment = environment
        self._log_start = 0
        self._process: asyncio.subprocess.Process | None = None
        # For sd_notify(3), as long as the server may want to say something.
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    async def start(self) -> None:
        """Return when the server says that it serves; raise `NotStarted` with its own last words when it ends."""
        log = self._installation.log
        log.parent.mkdir(parents=True, exist_ok=True)
        # In the abstract name space: nothing is left on disk.
        address = f"stackyn-run-{os.getpid()}-{secrets.token_hex(4)}"
        self._notices.bind("\0" + address)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._process = process = await asyncio.create_subprocess_exec(
                *self._installation.command("serve"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **self._environment, "NOTIFY_SOCKET": "@" + address},
            )
        ended = asyncio.create_task(process.wait(), name="server.ended")
        ready = asyncio.create_task(self._said_ready(), name="server.ready")
        try:
            done, _ = await asyncio.wait(
                {ended, ready}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ended.cancel()
            ready.cancel()
        if ready not in done:
            why = f"It ended with code {process.returncode}"
            if ended not in done:
                why = f"It was not ready after {START_SECONDS} s"
            words = self.last_words() or "(it said nothing)"
            raise NotStarted(f"The server did not start. {why}. The end of {log}:\n\n{words}")

    async def wait(self) -> int:
        """Return its exit code, when it ends."""
        assert self._process is not None
        return await self._process.wait()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def stop(self) -> None:
        """Ask it to finish what it does, and wait for that."""
        if self._process is not None and self.is_running:
            self._process.terminate()
            await self._process.wait()
        self._notices.close()

    def last_words(self) -> str:
        """Return the end of what it has written to the log since this start."""
        with self._installation.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    async def _said_ready(self) -> None:
        loop = asyncio.get_running_loop()
        while b"READY=1" not in (await loop.sock_recv(self._notices, _DATAGRAM_BYTES)).split(b"\n"):
            pass
