"""Some minutes of everything at once: tenants who deploy, cancel, stop and delete at random while server, engine and
database are killed at random. At the end the rows, the API, the engine and HTTP must agree.

    scripts/chaos [--seed N] [--seconds N]        with an engine of its own, in a network namespace of its own

The same seed makes the same decisions; when they meet what runs is up to the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from stackyn_server.postgres import cluster
from tests.crash.audit import is_whole, until_idle
from tests.crash.pictures import running_deployment
from tests.git_server import GitServer
from tests.own_engine import OwnEngine, own_installation
from tests.server_process import ServerProcess
from tests.tiny import tiny_app

APPS = 5
ASK_SECONDS = (0.1, 1.0)
KILL_SECONDS = (4.0, 12.0)
AWAY_SECONDS = (0.0, 4.0)
BACK_SECONDS = 60


class Chaos:
    def __init__(
        self, server: ServerProcess, engine: OwnEngine, git: GitServer, seed: int, totals: Counter[str]
    ) -> None:
        self.server = server
        self.engine = engine
        self.git = git
        self.asking, self.killing = random.Random(seed), random.Random(seed + 1)
        self.apps: list[int] = []
        self.created = 0
        self.greetings: dict[str, str] = {}  # by commit
        self.totals = totals

    async def run(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        await asyncio.gather(self._ask(ends), self._kill(ends))

    async def _ask(self, ends: float) -> None:
        """One thing after the other, by weight; what is refused or not answered counts as such."""
        requests: list[tuple[int, Callable[[], Awaitable[Any]]]] = [
            (5, self.redeploy),
            (2, self.failing_redeploy),
            (4, self.cancel),
            (2, self.stop),
            (3, self.start),
            (2, self.restart),
            (2, self.rollback),
            (1, self.delete),
        ]
        while time.monotonic() < ends:
            if len(self.apps) < APPS:
                request: Callable[[], Awaitable[Any]] = self.create
            else:
                request = self.asking.choices(
                    [request for _, request in requests], [weight for weight, _ in requests]
                )[0]
            try:
                await request()
                self.totals[request.__name__] += 1
            except (aiohttp.ClientError, OSError, TimeoutError):
                self.totals["unanswered"] += 1
            await asyncio.sleep(self.asking.uniform(*ASK_SECONDS))

    async def create(self) -> None:
        self.created += 1
        name = f"chaos-{self.created}"
        url = await self._publish(name, "1")
        await self._asked("POST", "/api/v1/apps", {"name": name, "repo_url": url})
        apps = await self.server.api("GET", "/api/apps")
        if isinstance(apps, list):  # a creation without an answer may have happened
            self.apps = [int(app["id"]) for app in apps]

    async def redeploy(self) -> None:
        await self._push()

    async def failing_redeploy(self) -> None:
        await self._push(start="exit 1\n")

    async def _push(self, **tree: str) -> None:
        app, greeting = self._random_app(), str(self.asking.random())
        view = await self.server.api("GET", f"/api/v1/apps/{app}")
        if "repo_url" in view:
            await self._publish(view["slug"], greeting, **tree)
            await self._asked("POST", f"/api/v1/apps/{app}/redeploy")

    async def _publish(self, name: str, greeting: str, **tree: str) -> str:
        url, commit = await self.git.publish(name, tiny_app(greeting, **tree))
        self.greetings[commit] = greeting
        return url

    async def cancel(self) -> None:
        deployments = await self.server.api("GET", f"/api/v1/apps/{self._random_app()}/deployments")
        if isinstance(deployments, list) and deployments:
            await self._asked("POST", f"/api/v1/deployments/{deployments[0]['id']}/cancel")

    async def stop(self) -> None:
        await self._asked("POST", f"/api/v1/apps/{self._random_app()}/stop")

    async def start(self) -> None:
        await self._asked("POST", f"/api/v1/apps/{self._random_app()}/start")

    async def restart(self) -> None:
        await self._asked("POST", f"/api/v1/apps/{self._random_app()}/restart")

    async def rollback(self) -> None:
        await self._asked("POST", f"/api/v1/apps/{self._random_app()}/rollback", {"release": 1})

    async def delete(self) -> None:
        app = self._random_app()
        await self._asked("DELETE", f"/api/v1/apps/{app}")
        self.apps.remove(app)

    async def agree(self) -> None:
        """Rows, API, engine and ingress about what runs; API and HTTP about the commit of it too."""
        await self.server.until(self._is_ready, BACK_SECONDS, "every part is back after the last kill")
        await until_idle(self.server)
        await is_whole(self.server)
        apps = await self.server.api("GET", "/api/apps", expect=200)
        for app in apps:
            if running := await running_deployment(self.server, app):
                greeting, answer = self.greetings[running["commit"]], await self.server.visit(app["slug"])
                assert answer == (200, greeting), (
                    f"{app['slug']} should be {running['commit']}: {greeting}, is {answer}"
                )
                self.totals["apps that run at the end"] += 1
        self.totals["apps at the end"] = len(apps)

    async def _is_ready(self) -> bool:
        return bool((await self.server.api("GET", "/health/ready")).get("status") == "ready")

    def _random_app(self) -> int:
        return self.asking.choice(self.apps)

    async def _asked(self, method: str, path: str, body: object = None) -> None:
        """Whatever it answers is right, but for a fault of the server's own (503 says that a part is away)."""
        answer = await self.server.api(method, path, body)
        if isinstance(answer, dict) and answer.get("code"):
            self.totals[f"refused: {answer['code']}"] += 1
            assert answer["code"] != "INTERNAL", answer

    async def _kill(self, ends: float) -> None:
        faults = [self._kill_server, self._kill_postgres, self._kill_engine, self._stop_engine]
        while time.monotonic() < ends:
            await asyncio.sleep(self.killing.uniform(*KILL_SECONDS))
            fault = self.killing.choices(faults, [3, 2, 2, 1])[0]
            await fault()
            self.totals[fault.__name__.lstrip("_")] += 1

    async def _away(self) -> None:
        await asyncio.sleep(self.killing.uniform(*AWAY_SECONDS))

    async def _kill_server(self) -> None:
        await self.server.kill()
        await self._away()
        await self.server.start()

    async def _kill_postgres(self) -> None:
        where = cluster.paths_of(self.server.data_dir)
        try:
            pid = int((where.data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, 9)
        except (OSError, ValueError):
            self.totals["database was away already"] += 1

    async def _kill_engine(self) -> None:
        await self.engine.kill()
        await self._away()
        await self.engine.start()

    async def _stop_engine(self) -> None:
        await self.engine.stop()
        await self._away()
        await self.engine.start()


async def chaos(seed: int, seconds: float, totals: Counter[str]) -> None:
    """Counts in `totals`, also what was before a failure. Raises AssertionError with the differences."""
    async with own_installation(retries={"first_seconds": 0.5, "attempts": 30}) as (engine, git, server):
        run = Chaos(server, engine, git, seed, totals)
        await run.run(seconds)
        await run.agree()


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/chaos")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--seconds", type=float, default=180)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {chosen.seconds:.0f} s", flush=True)
    totals, ending = Counter[str](), "they do NOT agree"
    try:
        asyncio.run(chaos(chosen.seed, chosen.seconds, totals))
        ending = "all agree"
    finally:
        counted = ", ".join(f"{count} {what}" for what, count in sorted(totals.items()))
        print(f"seed {chosen.seed}: {ending} after {counted}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
