"""A Docker engine of the test's own: started, killed and started again without touching the host's.

Two engines in one network namespace share the names of their iptables chains, so who uses this runs in namespaces of
its own (scripts/chaos), with everything that has to reach the containers.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from tests.patience import within

START_SECONDS, STOP_SECONDS = 60, 60


class OwnEngine:
    """`folder` holds all of it; its socket is `folder/docker.sock`. Its containerd is a process beside it, as on every
    Debian machine, and outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._containerd: asyncio.subprocess.Process | None = None
        self._dockerd: asyncio.subprocess.Process | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    async def start(self) -> None:
        """Return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        containerd = self.folder / "containerd"
        if self._containerd is None:
            self._containerd = await self._run(
                *("containerd", "--log-level=warn", f"--address={containerd}.sock"),
                *(f"--root={containerd}/root", f"--state={containerd}/state"),
            )
            await self._until(Path(f"{containerd}.sock").exists, self._containerd)
        self._dockerd = await self._run(
            *(
                "dockerd",
                "--log-level=warn",
                f"--containerd={containerd}.sock",
                f"--host=unix://{self.socket}",
            ),
            *(f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"),
            f"--pidfile={self.folder}/pid",
        )
        async with within(START_SECONDS):
            while not await self._answers():
                assert self._dockerd.returncode is None, self._log.read_text()[-4000:]
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        await self._end(self._dockerd, signal.SIGTERM)

    async def kill(self) -> None:
        """As a crash does it; its containers run on until the next start."""
        await self._end(self._dockerd, signal.SIGKILL)
        for left in (self.folder / "pid", self.socket):
            left.unlink(missing_ok=True)

    async def remove(self) -> None:
        """Stop it and leave nothing: it keeps mounts in its folder, which could not be deleted with them."""
        await self.stop()
        await self._end(self._containerd, signal.SIGTERM)
        if mounted := self._mounted():
            unmounting = await asyncio.create_subprocess_exec("umount", *reversed(mounted))
            await unmounting.wait()

    def _mounted(self) -> list[str]:
        paths = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [path for path in paths if Path(path).is_relative_to(self.folder)]

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    async def _run(self, *command: str) -> asyncio.subprocess.Process:
        with self._log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *command, stdout=output, stderr=output, start_new_session=True
            )

    async def _answers(self) -> bool:
        asking = await asyncio.create_subprocess_exec(
            *("docker", "--host", f"unix://{self.socket}", "version"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await asking.wait() == 0

    async def _until(self, holds: Callable[[], bool], process: asyncio.subprocess.Process) -> None:
        async with within(START_SECONDS):
            while not holds():
                assert process.returncode is None, self._log.read_text()[-4000:]
                await asyncio.sleep(0.1)

    @staticmethod
    async def _end(process: asyncio.subprocess.Process | None, how: signal.Signals) -> None:
        if process is None or process.returncode is not None:
            return
        process.send_signal(how)
        async with within(STOP_SECONDS):
            await process.wait()
