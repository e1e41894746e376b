"""A Docker engine of the test's own: started, killed and started again without touching the host's.

Two engines in one network namespace share the names of their iptables chains, so who uses this runs in namespaces of
its own (`in_namespaces`, scripts/chaos), with everything that has to reach the containers.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.engine.conftest import BUILDER, SOCKET
from tests.git_server import GitServer
from tests.patience import patient, within
from tests.server_process import ServerProcess, running

PROJECT = Path(__file__).parents[1]
NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
START_SECONDS, STOP_SECONDS = 60, 60


def in_namespaces(module: str, *arguments: str, seconds: float) -> str:
    """Run a program of the tests in namespaces of its own, which end with it. Return what it printed; that and its
    errors are in the AssertionError when it fails."""
    inside = ("sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-m", module, *arguments)
    run = subprocess.run(
        [*NAMESPACES, *inside],
        cwd=PROJECT,
        timeout=patient(seconds),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-12_000:]
    return run.stdout.strip()


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

    async def lose_power(self) -> None:
        """Everything of it ends at the same moment, containers too, and what was mounted or kept below /run is gone."""
        doomed = _kill_all(self.folder)
        for process in (self._dockerd, self._containerd):
            assert process is not None
            await process.wait()
        self._containerd = None
        async with within(STOP_SECONDS):
            while doomed:
                await asyncio.sleep(0.05)
                doomed &= {pid for pid, line in _processes().items() if line}  # a zombie has no command line
        await self._unmount()
        for kept in ("exec", "containerd/state"):
            shutil.rmtree(self.folder / kept)
        for left in (self.folder / "pid", self.socket):
            left.unlink(missing_ok=True)

    async def remove(self) -> None:
        """Stop it and leave nothing: it keeps mounts in its folder, which could not be deleted with them."""
        await self.stop()
        await self._end(self._containerd, signal.SIGTERM)
        await self._unmount()

    async def _unmount(self) -> None:
        if mounted := self._mounted():
            unmounting = await asyncio.create_subprocess_exec("umount", "--lazy", *reversed(mounted))
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


@asynccontextmanager
async def own_installation(
    **tables: Mapping[str, object],
) -> AsyncIterator[tuple[OwnEngine, GitServer, ServerProcess]]:
    """An engine of its own, a git server, and a server with these settings on them. All are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="stackyn-engine-") as folder:
        engine = OwnEngine(Path(folder) / "engine")
        os.environ["DOCKER_HOST"] = f"unix://{engine.socket}"
        try:
            await engine.start()
            await asyncio.to_thread(copy_builder, engine.socket)
            async with (
                GitServer(Path(folder) / "git") as git,
                running(engine={"socket": str(engine.socket)}, **tables) as server,
            ):
                yield engine, git, server
        finally:
            await engine.remove()


def copy_builder(socket: Path) -> None:
    """Copy the image that builds run in from the host's engine to the one behind `socket`."""
    save = f"docker --host=unix://{SOCKET} save {BUILDER}"
    load = f"docker --host=unix://{socket} load --quiet"
    copying = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{save} | {load}"],
        timeout=patient(START_SECONDS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert copying.returncode == 0, copying.stderr


def _kill_all(folder: Path) -> set[int]:
    """Kill every process that has a path below `folder` on its command line, and all their children."""
    doomed = {pid for pid, line in _processes().items() if os.fsencode(folder) in line}
    while more := {pid for pid in _processes() if _parent(pid) in doomed} - doomed:
        doomed |= more
    for pid in doomed - {os.getpid()}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return doomed - {os.getpid()}


def _processes() -> dict[int, bytes]:
    command_lines = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command_lines[int(process.name)] = (process / "cmdline").read_bytes()
        except OSError:
            continue
    return command_lines


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
