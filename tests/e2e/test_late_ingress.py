"""A server that just started may have no ingress yet: a ready release waits for it and says so."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from stackyn_server.pipeline.crash_points import VARIABLE
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker, free_port, proxies, running
from tests.tiny import tiny_app


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Let another program listen on `port`, so that our proxy can't."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over connections that have ended
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


@asynccontextmanager
async def running_at(port: int) -> AsyncIterator[ServerProcess]:
    """A server with its ingress on `port` and short deadlines for it."""
    async with running(
        ingress={"http_port": port, "confirm_seconds": 4},
        deadlines={"switching": 8},
        retries={"first_seconds": 1, "factor": 1.0, "attempts": 1000},
    ) as server:
        yield server


async def test_a_ready_release_waits_for_the_ingress(git: GitServer) -> None:
    url, _ = await git.publish("early", tiny_app("served"))
    port = free_port()
    async with AsyncExitStack() as stack:
        with taken(port):
            server = await stack.enter_async_context(running_at(port))
            _, deployment = await server.create(url, "Early")
            await _waits_for_the_ingress(server, deployment)
        await server.deployed(deployment)
        assert await server.visit("early") == (200, "served")


async def test_an_interrupted_switch_waits_for_the_ingress(
    git: GitServer,
) -> None:
    url, _ = await git.publish("halfway", tiny_app("old"))
    port = free_port()
    async with running_at(port) as server:
        app, first = await server.create(url, "Halfway")
        await server.deployed(first)
        await server.stop()
        server.environment = {VARIABLE: "release.switching"}
        await server.start()
        await git.publish("halfway", tiny_app("new"))
        asked = await server.redeploy(app)
        await server.died()
        await docker("rm", "-f", *(await proxies(server)))
        server.environment = {}
        with taken(port):
            await server.start()
            await _waits_for_the_ingress(server, asked)
        await server.deployed(asked)
        assert await server.visit("halfway") == (200, "new")


async def _waits_for_the_ingress(server: ServerProcess, deployment: int) -> None:
    async def waits() -> bool:
        view = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        assert view["status"] in ("pending", "building"), view
        return bool(view["waiting"]) and "ingress is not ready" in view["waiting"]["reason"]

    await server.until(waits, 60, "it waits for the ingress")
    logs = await server.api("GET", f"/api/v1/deployments/{deployment}/logs", expect=200)
    assert "Waiting for the server's ingress" in logs["build_log"]
