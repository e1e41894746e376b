"""`server.py` as a real process that a test can kill, freeze and listen to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.patience import patient, within

SCRIPT = Path(__file__).with_name("server.py")
PATIENCE_SECONDS = 15


class JobsServer:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def wait_for_line(self, line: str) -> None:
        """Wait until the process has written `line`."""
        assert self.process.stdout is not None
        try:
            async with within(PATIENCE_SECONDS):
                while line not in self.lines:
                    read = await self.process.stdout.readline()
                    assert read, f"it ended without saying {line!r}: {self.lines}, {await self.complaint()}"
                    self.lines.append(read.decode().strip())
        except TimeoutError:
            raise AssertionError(f"it did not say {line!r}, but {self.lines}") from None

    async def stopped(self) -> None:
        """Wait until the process is frozen."""
        stopped = asyncio.to_thread(os.waitid, os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
        await asyncio.wait_for(stopped, patient(PATIENCE_SECONDS))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def code(self) -> int:
        async with within(PATIENCE_SECONDS):
            return await self.process.wait()

    async def complaint(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode().strip()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def server(url: str, data_dir: Path, *flags: str) -> AsyncIterator[JobsServer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), url, str(data_dir), *flags,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    running = JobsServer(process)
    try:
        yield running
    finally:
        await running.kill()
