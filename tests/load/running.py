"""Load beside a test: the app's releases as repositories, and the generator as a child process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.git_server import GitServer
from tests.load.generator import Report, VisitPlan
from tests.patience import within
from tests.server_process import REPOSITORY, ServerProcess

DOCKERFILE = """\
FROM stackyn/python:3.11
COPY app.py release.json /srv/
EXPOSE 8080
USER app
CMD ["python3", "/srv/app.py"]
"""
HEALTH_PATH = "/"
END_SECONDS = 45
LINE_BYTES = 2**24  # the report is one line

Behaviour = str  # "good", or one of `BAD`
BAD = ("crashes", "hangs", "fails", "leaves")


def release(name: str, behaviour: Behaviour = "good") -> dict[str, bytes | str]:
    """The repository of a release that answers under this name."""
    return {
        "Dockerfile": DOCKERFILE,
        "app.py": (Path(__file__).parent / "app.py").read_bytes(),
        "release.json": json.dumps({"name": name, "behaviour": behaviour}),
    }


class Visitors:
    """The generator that runs; `report` is there after it has ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._moved = asyncio.Condition()
        self.answered = 0
        self.failed = 0
        self.report = Report()

    async def until_answered(self, count: int, seconds: float) -> None:
        """Return when they have had `count` more answers than now."""
        target = self.answered + count
        async with within(seconds), self._moved:
            await self._moved.wait_for(lambda: self.answered >= target)

    async def read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message: dict[str, Any] = json.loads(line)
            if "answers" in message:
                self.report = Report.of(message)
                return
            async with self._moved:
                self.answered, self.failed = message["answered"], message["failed"]
                self._moved.notify_all()
        raise AssertionError("the load generator ended by itself")

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with within(END_SECONDS):
            await self._process.wait()


@asynccontextmanager
async def visitors(plan: VisitPlan) -> AsyncIterator[Visitors]:
    """Have the load on for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.load.generator",
        json.dumps(asdict(plan)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
        limit=LINE_BYTES,
    )
    running = Visitors(process)
    reading = asyncio.create_task(running.read(), name="load.read")
    try:
        yield running
        await running.end()
        await reading
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        reading.cancel()


class LoadedApp:
    """An app of the load's releases on a real server. A release is named by its number."""

    def __init__(self, server: ServerProcess, git: GitServer, name: str) -> None:
        self.server, self.git, self.name = server, git, name
        self.id = 0
        self.number = 0

    @property
    def host(self) -> str:
        return f"{self.name}.localhost"

    async def create(self) -> None:
        url, _ = await self.git.publish(self.name, release("0"))
        self.id, deployment = await self.server.create(url, self.name, health_path=HEALTH_PATH)
        await self.server.deployed(deployment)

    async def ask_for(self, behaviour: Behaviour = "good") -> int:
        """Push the next release and ask for it; return the deployment."""
        self.number += 1
        await self.git.publish(self.name, release(str(self.number), behaviour))
        return await self.server.redeploy(self.id)

    async def deploy(self, behaviour: Behaviour = "good") -> None:
        deployment = await self.ask_for(behaviour)
        await self.server.deployed(deployment, "running" if behaviour == "good" else "failed")

    async def roll_back(self, to: int) -> None:
        """Go back to the app's release `to`, as the API numbers those that went live."""
        asked = await self.server.api(
            "POST", f"/api/v1/apps/{self.id}/rollback", {"release": to + 1}, expect=201
        )
        await self.server.deployed(asked["deployment"]["id"])


def print_report(capsys: pytest.CaptureFixture[str], what: str, report: Report) -> None:
    times = sorted(failure["at"] for failure in report.failures)
    with capsys.disabled():
        print(f"\n{what}: {sum(report.answers.values())} answers, {sum(report.failed.values())} failed")
        print(f"  answers {dict(report.answers)}, slowest {report.slowest}")
        if times:
            print(f"  failed {dict(report.failed)}, from {times[0]} to {times[-1]}")
            kinds = {
                (failure["kind"], failure["status"], failure["what"][:80]) for failure in report.failures
            }
            print(*(f"    {kind}: {status} {text}" for kind, status, text in sorted(kinds)), sep="\n")
