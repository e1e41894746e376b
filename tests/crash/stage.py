"""What a kill is tried on: one app in mid-life, the things that can be asked of it, and visitors who notice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from tests.commands import commanding_app
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker
from tests.tiny import Tree, tiny_app

VISIT_SECONDS = 0.02  # between two visits: 2 cores serve, build, kill and start again beside them

COUNTED = (
    "echo run $(cat /proc/sys/kernel/random/uuid)"  # each run of a release command writes a line of its own
)

App = Callable[[str], Tree]  # from the text that it answers
_numbers = itertools.count(1)


class Stage:
    """One app. `serves` says whether visitors must find it, `is_deleted` whether nothing of it may be left, `expected`
    the text that it must answer in the end, `before` the text that was expected before that."""

    def __init__(self, server: ServerProcess, git: GitServer) -> None:
        self.server = server
        self.git = git
        self.name = f"crash-{next(_numbers)}"
        self.app = 0
        self.serves = False
        self.is_deleted = False
        self.expected = self.before = ""
        self._texts: dict[str, str] = {}  # by commit

    async def create(self) -> int:
        url = await self.publish()
        self.app, deployment = await self.server.create(url, self.name)
        return deployment

    async def publish(self, app: App = tiny_app) -> str:
        """Push something new, and return the repository's address. Its text is expected from now on."""
        self.before, self.expected = self.expected, str(len(self._texts) + 1)
        url, commit = await self.git.publish(self.name, app(self.expected))
        self._texts[commit] = self.expected
        return url

    def text_of(self, commit: str) -> str:
        return self._texts[commit]

    async def go_live(self) -> None:
        await self.server.deployed(await self.create())
        self.serves = True

    async def newest(self) -> int:
        """Return the id of the newest deployment."""
        listed = await self.server.api("GET", f"/api/v1/apps/{self.app}/deployments", expect=200)
        return int(listed[0]["id"])

    async def ask(self, method: str, path: str, body: object = None) -> object:
        """Ask for something; the server may die of it in mid-answer."""
        try:
            return await self.server.api(method, path, body)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None


async def first_deploy(stage: Stage) -> None:
    await stage.create()


async def redeploy(stage: Stage, app: App = tiny_app) -> None:
    await stage.publish(app)
    await stage.ask("POST", f"/api/v1/apps/{stage.app}/redeploy")


async def redeploy_with_command(stage: Stage) -> None:
    await redeploy(stage, lambda text: commanding_app(text, COUNTED))


async def rollback(stage: Stage) -> None:
    """Go back as far as possible."""
    releases = await stage.server.api("GET", f"/api/v1/apps/{stage.app}/releases", expect=200)
    oldest = [release for release in releases if release["available"]][-1]
    stage.expected = stage.text_of(oldest["commit"])
    await stage.ask("POST", f"/api/v1/apps/{stage.app}/rollback", {"release": oldest["release"]})


async def restart(stage: Stage) -> None:
    await stage.ask("POST", f"/api/v1/apps/{stage.app}/restart")


async def cancel(stage: Stage) -> None:
    """Cancel a redeploy that would never listen."""
    newest = await _never_listens(stage)
    stage.expected = stage.before
    await stage.ask("POST", f"/api/v1/deployments/{newest}/cancel")


async def failing_redeploy(stage: Stage) -> None:
    await redeploy(stage, lambda text: tiny_app(text, start="exit 1\n"))
    stage.expected = stage.before


async def delete(stage: Stage) -> None:
    stage.serves, stage.is_deleted = False, True
    await stage.ask("DELETE", f"/api/v1/apps/{stage.app}")


async def delete_in_mid_deploy(stage: Stage) -> None:
    await _never_listens(stage)
    await delete(stage)


async def _never_listens(stage: Stage) -> int:
    """Redeploy something that is probed in vain, and return the deployment once it is."""
    await redeploy(stage, lambda text: tiny_app(text, start="exec /bin/busybox sleep 600\n"))
    newest = await stage.newest()

    async def is_probed() -> bool:
        view = await stage.server.api("GET", f"/api/v1/deployments/{newest}", expect=200)
        return bool(view["phase"] == "probing")

    await stage.server.until(is_probed, 60, "it is probed")
    return newest


async def lost_container(stage: Stage) -> None:
    stage.serves = False  # for as long as it takes to bring it back
    mine = ("--filter", f"label=io.stackyn.installation={stage.server.installation}")
    containers = await docker("ps", "-q", *mine, "--filter", f"label=io.stackyn.app={stage.app}")
    await docker("rm", "-f", *containers.split())


Scenario = Callable[[Stage], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {
    "first deploy": first_deploy,
    "redeploy": redeploy,
    "redeploy with a release command": redeploy_with_command,
    "rollback": rollback,
    "restart": restart,
    "cancel": cancel,
    "failing redeploy": failing_redeploy,
    "delete": delete,
    "lost container": lost_container,
}


@asynccontextmanager
async def visited(*stages: Stage) -> AsyncIterator[list[tuple[str, int, str]]]:
    """Visit the apps all the time through the ingress; yields the answers that were no success though it serves."""
    failures: list[tuple[str, int, str]] = []
    ended = asyncio.Event()

    async def visit(stage: Stage) -> None:
        while not ended.is_set():
            expected = stage.serves
            status, text = await stage.server.visit(stage.name)
            if expected and stage.serves and status != 200:
                failures.append((stage.name, status, text))
            await asyncio.sleep(VISIT_SECONDS)

    visitors = [asyncio.create_task(visit(stage)) for stage in stages]
    try:
        yield failures
    finally:
        ended.set()
        await asyncio.gather(*visitors)
