"""An app that speaks HTTP/2 without TLS only, as gRPC servers do: called all the time while it is redeployed, sleeps,
wakes and is rolled out in place."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.git_server import GitServer
from tests.h2c import Caller, calling
from tests.server_process import ServerProcess, containers_of, running
from tests.tiny import Tree

HOST = "greeter.localhost"
DRAIN_SECONDS = 600  # a drain ends because no connection is left, or the test fails
NO_MEMORY_LEFT = {"STACKYN_APPS__MEMORY_RESERVE_MB": str(2**30)}
PATHS = ["/hello", "/hello", "/slow"]
DOCKERFILE = 'FROM stackyn/node:22\nWORKDIR /srv\nCOPY server.js ./\nUSER app\nCMD ["node", "server.js"]\n'
SERVER = """\
const http2 = require("http2")
const server = http2.createServer()
server.on("stream", (stream, headers) => {
  const parts = []
  stream.on("data", (part) => parts.push(part))
  stream.on("end", () => setTimeout(() => {
    stream.respond({ ":status": 200 })
    stream.end("hello " + Buffer.concat(parts) + " from RELEASE")
  }, headers[":path"] === "/slow" ? 2000 : 0))
  stream.on("error", () => {})
})
server.listen(process.env.PORT, "0.0.0.0")
"""


def greeter(release: int) -> Tree:
    return {"Dockerfile": DOCKERFILE, "server.js": SERVER.replace("RELEASE", str(release))}


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running(
        **{
            "plans.pro": {"always_on": False, "zero_downtime": False},
            "apps": {"idle_minutes": 1.5 / 60, "drain_seconds": DRAIN_SECONDS, "default_cpu": 1.0},
            "reconcile": {"idle_seconds": 0.5},
        }
    ) as server:
        yield server


@pytest.fixture(scope="module")
async def app(server: ServerProcess, git: GitServer) -> int:
    app, _ = await server.deploy(git, "greeter", greeter(0), "greeter", protocol="h2c")
    return app


async def called(server: ServerProcess) -> bytes:
    caller = Caller(server.ingress_port, HOST)
    try:
        return await caller.call("/hello")
    finally:
        caller.close()


async def redeploy(server: ServerProcess, git: GitServer, app: int, release: int) -> int:
    await git.publish("greeter", greeter(release))
    return await server.redeploy(app)


async def test_no_call_fails_over_a_redeploy_and_the_drain_ends(
    server: ServerProcess, git: GitServer, app: int
) -> None:
    assert await called(server) == b"hello you from 0"
    async with calling(server.ingress_port, HOST, PATHS) as (answers, failures):
        await server.deployed(await redeploy(server, git, app, 1))

        async def old_is_gone() -> bool:
            return len(await containers_of(server, app)) == 1

        await server.until(old_is_gone, 15, "its connections end by themselves, and the old instance is gone")
    assert failures == []
    assert set(answers) == {b"hello you from 0", b"hello you from 1"}


async def test_an_idle_h2c_app_sleeps_and_a_call_wakes_it(server: ServerProcess, app: int) -> None:
    async def sleeps() -> bool:
        view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
        return view["phase"] == "sleeping" and not await containers_of(server, app)

    await called(server)
    await server.until(sleeps, 30, "nobody calls, so it sleeps")
    assert await called(server) == b"hello you from 1"


async def test_no_call_fails_over_a_swap_in_place(server: ServerProcess, git: GitServer, app: int) -> None:
    await server.stop()
    server.environment = NO_MEMORY_LEFT
    await server.start()
    async with calling(server.ingress_port, HOST, PATHS) as (answers, failures):
        deployment = await redeploy(server, git, app, 2)
        await server.deployed(deployment)
        assert await called(server) == b"hello you from 2"
    assert failures == []
    assert set(answers) == {b"hello you from 1", b"hello you from 2"}
    log = await server.build_log(deployment)
    assert "not enough memory to run both" in log
