"""The example app: offered by a git server of this machine's own and deployed through the REST API, like any other."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from scripts.launch.git_server import GitServer
from scripts.launch.screen import say, step
from stackyn_server import config
from stackyn_server.errors import StackynError

ADDRESS = "127.0.0.1"
PORT = 8418  # chosen once: the address of the repository is kept with the app
NAME = "Example"
BRANCH = "main"
FOLDER = Path(__file__).resolve().parents[1] / "example_app"
ASK_AGAIN_SECONDS = 0.5
VISIT_SECONDS = 30
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
IN_PROGRESS = ("pending", "building")

# Under the shipped settings no tenant can name an address on loopback. Only while this example is offered, they may.
SETTINGS = {
    "STACKYN_SOURCE__SCHEMES": '["https", "http"]',
    "STACKYN_SOURCE__ALLOWED_PRIVATE": f'["{ADDRESS}/32"]',
}


class ExampleFailed(StackynError):
    """The example app could not be deployed or does not answer."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where the example answers: its public address, and how to ask for it without a resolver that knows its name."""

    url: str
    host: str
    address_url: str


@asynccontextmanager
async def serve(directory: Path, port: int) -> AsyncIterator[str]:
    """Offer the example's repository on loopback and yield its URL."""
    async with AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(GitServer(directory, port))
        except OSError as error:
            raise ExampleFailed(
                f"The example's git server can't listen on {ADDRESS}:{port}: {error.strerror}.",
                hint="Choose another port with --demo-port, or leave the example out with --no-demo.",
            ) from error
        url, _ = await server.publish("example", FOLDER, BRANCH)
        yield url


async def deploy(
    session: aiohttp.ClientSession, settings: config.Settings, email: str, password: str, repository: str
) -> Site:
    """Have the example live and visited, deployed now or long ago. Raises `ExampleFailed`."""
    say("The example app, from its git repository to an answer")
    api = Api(session)
    await api.sign_in(email, password)
    started = time.monotonic()
    app, deployment = await _wanted(api, repository)
    if deployment is not None:
        say(f"  {repository} becomes {app['slug']}; its build:")
        await _follow(api, deployment)
    app = await api("GET", f"/api/v1/apps/{app['id']}")
    site = _site(settings, app["url"])
    with step(f"GET {app['url']}"):
        title = await _visit(session, site)
    say(f"  It answers: {title}")
    if deployment is not None:
        say(f"  From the request to deploy to this answer: {time.monotonic() - started:.1f} s")
    return site


class Api:
    """The server's REST API, as any client speaks it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._headers: dict[str, str] = {}

    async def __call__(self, method: str, path: str, body: object = None) -> Any:
        async with self._session.request(method, path, json=body, headers=self._headers) as answer:
            content = await answer.json()
            if answer.status >= 400:
                raise ExampleFailed(f"{method} {path} was answered with {answer.status}: {content['error']}")
            return content

    async def sign_in(self, email: str, password: str) -> None:
        try:
            token = (await self("POST", "/api/auth/login", {"email": email, "password": password}))["token"]
        except ExampleFailed as error:
            raise ExampleFailed(
                f"{email} can't sign in any more, so the example is not deployed: {error.message}",
                hint="Start with --no-demo.",
            ) from error
        self._headers = {"Authorization": f"Bearer {token}"}


async def _wanted(api: Api, repository: str) -> tuple[dict[str, Any], int | None]:
    """Return the example app and the deployment to wait for, None when it already serves."""
    mine = [app for app in await api("GET", "/api/apps") if app["repo_url"] == repository]
    if not mine:
        created = await api("POST", "/api/v1/apps", {"name": NAME, "repo_url": repository, "branch": BRANCH})
        return created["app"], created["deployment"]["id"]
    app = mine[0]
    if app["status"] == "running":
        return app, None
    if app["status"] in IN_PROGRESS:
        return app, (await api("GET", f"/api/v1/apps/{app['id']}/deployments"))[0]["id"]
    return app, (await api("POST", f"/api/v1/apps/{app['id']}/redeploy"))["deployment"]["id"]


async def _follow(api: Api, deployment: int) -> None:
    """Print the build log as it grows, until the deployment has ended."""
    shown = 0
    while True:
        state = await api("GET", f"/api/v1/deployments/{deployment}/logs")
        lines = (state["build_log"] or "").splitlines()
        for line in lines[shown:]:
            say(f"  | {line}")
        shown = len(lines)
        if state["status"] not in IN_PROGRESS:
            break
        await asyncio.sleep(ASK_AGAIN_SECONDS)
    if state["status"] != "running":
        raise ExampleFailed(f"The example's deployment ended as {state['status']}: {state['error_message']}")


def _site(settings: config.Settings, url: str) -> Site:
    host = urlsplit(url).hostname or ""
    secure = settings.public.scheme == "https"
    port = settings.ingress.https_port if secure else settings.ingress.http_port
    return Site(url, host, f"{settings.public.scheme}://{ADDRESS}:{port}/")


async def _visit(session: aiohttp.ClientSession, site: Site) -> str:
    """Ask the ingress for the app as a browser would, and return the title of its page."""
    timeout = aiohttp.ClientTimeout(total=VISIT_SECONDS)
    # A certificate of a local name is nobody's to check.
    async with session.get(
        site.address_url, headers={"Host": site.host}, timeout=timeout, ssl=False
    ) as answer:
        text = await answer.text()
        if answer.status != 200:
            raise ExampleFailed(f"{site.url} answers with {answer.status}.")
        title = _TITLE.search(text)
        return title[1].strip() if title else text.strip().partition("\n")[0]
