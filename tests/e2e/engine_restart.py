"""The story of `test_engine_restart`: an engine that ends in three ways, under a server and apps that visitors use.

Run as a program inside network and mount namespaces of its own, because it needs an engine that it may end: two engines
in one namespace share the names of their iptables chains. Its argument is a folder, which is removed once the mounts
are gone with the namespace. Prints what it measured.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.test_watch import events_of
from tests.git_server import GitServer
from tests.patience import patient
from tests.server_process import ServerProcess, docker, running
from tests.tiny import SERVE, tiny_app

APPS = ("red", "green", "blue")
START_SECONDS = BACK_SECONDS = 120
TRUTH_SECONDS = 5
PATIENT = {"first_seconds": 0.5, "factor": 1.0, "attempts": 100}
CONTAINERD = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'


@dataclass
class OwnEngine:
    """An engine with everything of its own below `folder`, its containerd a process beside it, as usual."""

    folder: Path
    process: asyncio.subprocess.Process | None = None
    containerd: asyncio.subprocess.Process | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    async def start(self) -> None:
        log = (self.folder / "engine.log").open("ab")
        if self.containerd is None or self.containerd.returncode is not None:
            (self.folder / "containerd.toml").write_text(CONTAINERD)
            self.containerd = await asyncio.create_subprocess_exec(
                "containerd",
                f"--config={self.folder}/containerd.toml",
                f"--root={self.folder}/containerd",
                f"--state={self.folder}/state",
                f"--address={self.folder}/containerd.sock",
                stdout=log,
                stderr=log,
            )
        self.process = await asyncio.create_subprocess_exec(
            "dockerd",
            f"--containerd={self.folder}/containerd.sock",
            f"--data-root={self.folder}/data",
            f"--exec-root={self.folder}/exec",
            f"--pidfile={self.folder}/pid",
            f"--host=unix://{self.socket}",
            stdout=log,
            stderr=log,
            env={**os.environ, "DOCKER_HOST": ""},
        )
        log.close()
        deadline = time.monotonic() + patient(START_SECONDS)
        while not (await docker("version", "-f", "{{.Server.Version}}")).strip():
            text = (self.folder / "engine.log").read_text()[-3000:]
            assert self.process.returncode is None and time.monotonic() < deadline, text
            await asyncio.sleep(0.1)

    async def end(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        await self.process.wait()
        (self.folder / "pid").unlink(missing_ok=True)

    async def close(self) -> None:
        for process in (self.process, self.containerd):
            if process is not None and process.returncode is None:
                process.terminate()
                await process.wait()
        self._kill_all()

    async def lose_power(self) -> None:
        self._kill_all()
        for process in (self.process, self.containerd):
            assert process is not None
            await process.wait()
        self._clear_memory()

    def _clear_memory(self) -> None:
        """Without power, what was mounted and what was kept below /run is gone: engines count on that."""
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        ours = [mount for mount in mounts if mount.startswith(str(self.folder))]
        for mount in reversed(ours):
            subprocess.run(["umount", "-l", mount], check=True)
        for kept in ("exec", "state"):
            shutil.rmtree(self.folder / kept)
        (self.folder / "pid").unlink(missing_ok=True)

    def _kill_all(self) -> None:
        """End every process that has a file below our folder on its command line, and all their children."""
        doomed = {pid for pid, line in _processes().items() if str(self.folder).encode() in line}
        while more := {pid for pid in _processes() if _parent(pid) in doomed} - doomed:
            doomed |= more
        for pid in doomed - {os.getpid()}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@dataclass
class Visitors:
    """Somebody who asks for each app all the time. No answer is no fault here; another app's answer is."""

    server: ServerProcess
    wrong: list[tuple[str, int, str]] = field(default_factory=list)
    answering: set[str] = field(default_factory=set)

    async def visit(self, app: str) -> None:
        while True:
            status, text = await self.server.visit(app)
            if status == 200 and text != app:
                self.wrong.append((app, status, text))
            (self.answering.add if (status, text) == (200, app) else self.answering.discard)(app)
            await asyncio.sleep(0.02)

    async def all_answer(self) -> bool:
        return self.answering == set(APPS)

    async def miss_some(self) -> bool:
        return self.answering < set(APPS)


@asynccontextmanager
async def visitors_of(server: ServerProcess) -> AsyncIterator[Visitors]:
    visitors = Visitors(server)
    tasks = [asyncio.create_task(visitors.visit(app)) for app in APPS]
    try:
        yield visitors
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def statuses(server: ServerProcess) -> dict[str, str]:
    shown = await server.api("GET", "/api/apps", expect=200)
    return {view["name"]: view["status"] for view in shown if view["name"] in APPS}


async def story(engine: OwnEngine, server: ServerProcess, git: GitServer) -> None:
    ids = []
    for app in APPS:
        url, _ = await git.publish(app, tiny_app(app))
        number, deployment = await server.create(url, app)
        await server.deployed(deployment)
        ids.append(number)
    async with visitors_of(server) as visitors:
        await server.until(visitors.all_answer, 20, "all apps answer")
        for how in ("asked to stop", "killed", "without power"):
            starting = None
            if how == "asked to stop":
                starting = await starts(server, git)
                await engine.end(signal.SIGTERM)
                await server.until(visitors.miss_some, 20, "apps ended with the engine")
                await until_told(server, visitors, f"{how}: down")
            elif how == "killed":
                await engine.end(signal.SIGKILL)
            else:
                await server.kill()
                await engine.lose_power()
            began = time.monotonic()
            await engine.start()
            if how == "without power":
                await server.start()
            await server.until(visitors.all_answer, BACK_SECONDS, f"all apps answer again, the engine {how}")
            print(f"engine {how}: all apps on their own hosts after {time.monotonic() - began:.1f} s")
            if starting is not None:
                await server.deployed(starting)
                print("a release that started when the engine was asked to stop is live")
            await until_told(server, visitors, f"{how}: back")
        assert visitors.wrong == [], "an app was answered by another one"
    for number in ids:
        assert await events_of(server, number, "app.crashed") == [], "the end of the engine is no crash"


async def starts(server: ServerProcess, git: GitServer) -> int:
    """Return a deployment whose release is on its way up."""
    url, _ = await git.publish("late", tiny_app("late", start=f"/bin/busybox sleep 5\n{SERVE}"))
    app, deployment = await server.create(url, "late")

    async def is_probed() -> bool:
        return bool((await server.api("GET", f"/api/v1/apps/{app}", expect=200))["phase"] == "probing")

    await server.until(is_probed, 60, "the release starts")
    return deployment


async def until_told(server: ServerProcess, visitors: Visitors, what: str) -> None:
    """The API has to say what is so within seconds. An engine on its way out ends most apps, but none of those that
    were started meanwhile."""
    began = time.monotonic()

    async def is_told() -> bool:
        truth = {app: "running" if app in visitors.answering else "failed" for app in APPS}
        return await statuses(server) == truth

    try:
        await server.until(is_told, TRUTH_SECONDS, f"the API says who runs, {what}")
    except AssertionError as error:
        error.add_note(f"It says {await statuses(server)}, and {visitors.answering} answer.")
        raise
    print(f"{what}: the API said so after {time.monotonic() - began:.1f} s")


async def main(folder: Path) -> None:
    engine = OwnEngine(folder)
    os.environ["DOCKER_HOST"] = f"unix://{engine.socket}"
    try:
        await engine.start()
        async with (
            GitServer(folder / "git") as git,
            running(engine={"socket": str(engine.socket)}, retries=PATIENT) as server,
        ):
            await story(engine, server, git)
    finally:
        await engine.close()


def _processes() -> dict[int, bytes]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
