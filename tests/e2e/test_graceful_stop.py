"""SIGTERM: what was asked is answered, builds may end, nothing new begins, and the exit code is 0."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from tests.commands import commanding_app, containers_of_commands
from tests.crash.audit import rows_of
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running
from tests.tiny import DOCKERFILE, Tree, tiny_app

BUILD_SECONDS = 4

Rest = Callable[[], Awaitable[int]]


def build_of(seconds: int) -> Tree:
    return tiny_app(dockerfile=DOCKERFILE + f'RUN ["/bin/busybox", "sleep", "{seconds}"]\n')


async def test_it_ends_in_order(git: GitServer) -> None:
    async with running(
        server={"drain_seconds": 30}, builds={"concurrency": 1}, database={"statement_seconds": 60}
    ) as server:
        url, _ = await git.publish("slow", build_of(BUILD_SECONDS))
        app, building = await server.create(url, "Slow")
        await _is_building(server, building)
        later_url, _ = await git.publish("later", tiny_app("later"))
        later, _ = await server.create(later_url, "Later")

        async with (
            _follower(server, building) as stream,
            _watcher(server, app) as socket,
            _request_that_waits(server, later) as go_on,
        ):
            stopping = asyncio.create_task(server.stop())
            log_events, last_frame = await asyncio.gather(stream.content.read(), _until_closed(socket))
            assert await go_on() == 201, "a request that had begun is answered"
            assert await stopping == 0
        assert b"event: closing" in log_events, "followers of a log learn why it ends"
        assert last_frame == (
            aiohttp.WSCloseCode.GOING_AWAY,
            "The server is stopping; connect again in a moment.",
        )

        await server.start()
        async with rows_of(server) as rows:
            attempts = await rows.fetch("SELECT attempt FROM job WHERE kind = 'build' ORDER BY id")
        assert attempts[0]["attempt"] == 1, "the build that ran was let end"
        await server.deployed(building)
        newest = (await server.api("GET", f"/api/v1/apps/{later}/deployments", expect=200))[0]
        await server.deployed(newest["id"])
        assert (await server.visit("later"))[1] == "later", "what waited is built by the next server"


async def test_what_takes_longer_is_finished_by_the_next_server(git: GitServer) -> None:
    async with running(server={"drain_seconds": 1}) as server:
        url, _ = await git.publish("longer", build_of(5))
        app, building = await server.create(url, "Longer")
        await _is_building(server, building)
        assert await server.stop() == 0
        await server.start()
        await server.deployed(building)
        assert (await server.visit("longer"))[0] == 200

        await git.publish("longer", commanding_app("2", "echo begun; sleep 8; echo over"))
        again = await server.redeploy(app)
        await server.until(lambda: _runs_command(server), 30, "its release command runs")
        assert await server.stop() == 0
        assert await _runs_command(server), "it goes on while no server runs"
        await server.start()
        await server.deployed(again)
        lines = (await server.build_log(again)).splitlines()
        assert (lines.count("begun"), lines.count("over")) == (1, 1)
        assert await server.visit("longer") == (200, "2")


async def _runs_command(server: ServerProcess) -> bool:
    return bool(await containers_of_commands(server))


async def _is_building(server: ServerProcess, deployment: int) -> None:
    async def builds() -> bool:
        logs = await server.api("GET", f"/api/v1/deployments/{deployment}/logs", expect=200)
        return "sleep" in (logs["build_log"] or "")

    await server.until(builds, 60, "the build's last step runs")


@asynccontextmanager
async def _follower(server: ServerProcess, deployment: int) -> AsyncIterator[aiohttp.ClientResponse]:
    url = f"{server.api_url}/api/v1/deployments/{deployment}/logs/stream"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.token}"}) as session,
        session.get(url) as answer,
    ):
        assert answer.status == 200
        yield answer


@asynccontextmanager
async def _watcher(server: ServerProcess, app: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    url = f"{server.api_url}/ws/build-status?app_id={app}&token={server.token}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        yield socket


async def _until_closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
    while True:
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.CLOSE:
            return message.data, message.extra
        assert message.type is aiohttp.WSMsgType.TEXT, message


@asynccontextmanager
async def _request_that_waits(server: ServerProcess, app: int) -> AsyncIterator[Rest]:
    """A request for a redeploy that waits for the app's row; yields what lets it go on and returns its status."""
    url = f"{server.api_url}/api/v1/apps/{app}/redeploy"
    async with (
        rows_of(server) as rows,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.token}"}) as session,
    ):
        lock = rows.transaction()
        await lock.start()
        await rows.execute("SELECT FROM app WHERE id = $1 FOR UPDATE", app)
        request = asyncio.create_task(session.post(url))

        async def waits() -> bool:
            asking = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return bool(await rows.fetchval(asking))

        await server.until(waits, 10, "the request waits")

        async def go_on() -> int:
            await lock.rollback()
            return (await request).status

        yield go_on
