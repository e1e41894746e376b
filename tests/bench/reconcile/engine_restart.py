"""An engine that ends in three ways, under a server and apps that visitors use.

    python -m tests.bench.reconcile.engine_restart    with an engine of its own, in namespaces of test_engine_restart.py

Prints what it measured.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.test_watch import events_of
from tests.git_server import GitServer
from tests.own_engine import OwnEngine, own_installation
from tests.server_process import ServerProcess
from tests.tiny import SERVE, tiny_app

APPS = ("red", "green", "blue")
BACK_SECONDS = 120
TRUTH_SECONDS = 5  # in which the API has to say which apps run
RETRIES = {"first_seconds": 0.5, "factor": 1.0, "attempts": 100}


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


async def scenario(engine: OwnEngine, server: ServerProcess, git: GitServer) -> None:
    ids = []
    for app in APPS:
        number, _ = await server.deploy(git, app, tiny_app(app), app)
        ids.append(number)
    async with visitors_of(server) as visitors:
        await server.until(visitors.all_answer, 20, "all apps answer")
        for how in ("asked to stop", "killed", "without power"):
            starting = None
            if how == "asked to stop":
                starting = await starts(server, git)
                await engine.stop()
                await server.until(visitors.miss_some, 20, "apps ended with the engine")
                await until_api_agrees(server, f"{how}: down")
            elif how == "killed":
                await engine.kill()
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
            await until_api_agrees(server, f"{how}: back")
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


async def until_api_agrees(server: ServerProcess, what: str) -> None:
    """Wait until the API says which apps a visitor reaches. An engine on its way out ends the proxy and most apps, but
    none of those that it was made to start meanwhile."""
    began = time.monotonic()

    async def agrees() -> bool:
        reached = {app for app in APPS if await server.visit(app) == (200, app)}
        return await statuses(server) == {app: "running" if app in reached else "failed" for app in APPS}

    try:
        await server.until(agrees, 30, f"the API says who runs, {what}")
    except AssertionError as error:
        error.add_note(f"It says {await statuses(server)}, and there are processes of {apps_present()}.")
        raise
    seconds = time.monotonic() - began
    print(f"{what}: the API said so after {seconds:.1f} s")
    assert seconds < TRUTH_SECONDS, what


def apps_present() -> set[str]:
    """The apps of which a process runs, by what it would answer: without the engine, the kernel is who knows."""
    present = set()
    for page in Path("/proc").glob("[0-9]*/root/www/index.html"):
        with suppress(OSError):
            present.add(page.read_text())
    return present


async def main() -> None:
    async with own_installation(retries=RETRIES) as (engine, git, server):
        await scenario(engine, server, git)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
