"""The app on which kills are tried: what can be asked of it, and visitors who notice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from tests.commands import commanding_app
from tests.git_server import GitServer
from tests.server_process import ServerProcess, containers_of, docker
from tests.tiny import Tree, tiny_app

VISIT_SECONDS = 0.02  # between two visits: 2 cores serve, build, kill and start again beside them

COUNTED = (
    "echo run $(cat /proc/sys/kernel/random/uuid)"  # each run of a release command writes a line of its own
)

TreeOf = Callable[[str], Tree]  # from the text that it answers
_numbers = itertools.count(1)


class AppUnderTest:
    """One app. `serves` says whether visitors must find it, `is_deleted` whether nothing of it may be left, `expected`
    the text that it must answer in the end, `before` the text that was expected before that."""

    def __init__(self, server: ServerProcess, git: GitServer) -> None:
        self.server = server
        self.git = git
        self.name = f"crash-{next(_numbers)}"
        self.id = 0
        self.serves = False
        self.is_deleted = False
        self.expected = self.before = ""
        self._texts: dict[str, str] = {}  # by commit

    async def create(self) -> int:
        url = await self.publish()
        self.id, deployment = await self.server.create(url, self.name)
        return deployment

    async def publish(self, tree_of: TreeOf = tiny_app) -> str:
        """Push something new, and return the repository's address. Its text is expected from now on."""
        self.before, self.expected = self.expected, str(len(self._texts) + 1)
        url, commit = await self.git.publish(self.name, tree_of(self.expected))
        self._texts[commit] = self.expected
        return url

    def text_of(self, commit: str) -> str:
        return self._texts[commit]

    async def go_live(self) -> None:
        await self.server.deployed(await self.create())
        self.serves = True

    async def newest(self) -> int:
        """Return the id of the newest deployment."""
        listed = await self.server.api("GET", f"/api/v1/apps/{self.id}/deployments", expect=200)
        return int(listed[0]["id"])

    async def ask(self, method: str, path: str, body: object = None) -> object:
        """Ask for something; the server may die of it in mid-answer."""
        try:
            return await self.server.api(method, path, body)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None


async def first_deploy(app: AppUnderTest) -> None:
    await app.create()


async def redeploy(app: AppUnderTest, tree_of: TreeOf = tiny_app) -> None:
    await app.publish(tree_of)
    await app.ask("POST", f"/api/v1/apps/{app.id}/redeploy")


async def redeploy_with_command(app: AppUnderTest) -> None:
    await redeploy(app, lambda text: commanding_app(text, COUNTED))


async def rollback(app: AppUnderTest) -> None:
    """Go back as far as possible."""
    releases = await app.server.api("GET", f"/api/v1/apps/{app.id}/releases", expect=200)
    oldest = [release for release in releases if release["available"]][-1]
    app.expected = app.text_of(oldest["commit"])
    await app.ask("POST", f"/api/v1/apps/{app.id}/rollback", {"release": oldest["release"]})


async def restart(app: AppUnderTest) -> None:
    await app.ask("POST", f"/api/v1/apps/{app.id}/restart")


async def cancel(app: AppUnderTest) -> None:
    """Cancel a redeploy that would never listen."""
    newest = await _never_listens(app)
    app.expected = app.before
    await app.ask("POST", f"/api/v1/deployments/{newest}/cancel")


async def failing_redeploy(app: AppUnderTest) -> None:
    await redeploy(app, lambda text: tiny_app(text, start="exit 1\n"))
    app.expected = app.before


async def delete(app: AppUnderTest) -> None:
    app.serves, app.is_deleted = False, True
    await app.ask("DELETE", f"/api/v1/apps/{app.id}")


async def delete_in_mid_deploy(app: AppUnderTest) -> None:
    await _never_listens(app)
    await delete(app)


async def _never_listens(app: AppUnderTest) -> int:
    """Redeploy something that is probed in vain, and return the deployment once it is."""
    await redeploy(app, lambda text: tiny_app(text, start="exec /bin/busybox sleep 600\n"))
    newest = await app.newest()

    async def is_probed() -> bool:
        view = await app.server.api("GET", f"/api/v1/deployments/{newest}", expect=200)
        return bool(view["phase"] == "probing")

    await app.server.until(is_probed, 60, "it is probed")
    return newest


async def lost_container(app: AppUnderTest) -> None:
    app.serves = False  # for as long as it takes to bring it back
    await docker("rm", "-f", *await containers_of(app.server, app.id))


Scenario = Callable[[AppUnderTest], Awaitable[None]]
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
async def visited(*apps: AppUnderTest) -> AsyncIterator[list[tuple[str, int, str]]]:
    """Visit the apps all the time through the ingress; yields the answers that were no success though it serves."""
    failures: list[tuple[str, int, str]] = []
    ended = asyncio.Event()

    async def visit(app: AppUnderTest) -> None:
        while not ended.is_set():
            expected = app.serves
            status, text = await app.server.visit(app.name)
            if expected and app.serves and status != 200:
                failures.append((app.name, status, text))
            await asyncio.sleep(VISIT_SECONDS)

    visitors = [asyncio.create_task(visit(app)) for app in apps]
    try:
        yield failures
    finally:
        ended.set()
        await asyncio.gather(*visitors)
