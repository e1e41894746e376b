"""Where the memory for two releases is missing, one takes the other's place while requests are held: none fails."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
import pytest

from stackyn_server.postgres.embedded import embedded_url
from tests.git_server import GitServer
from tests.patience import patient
from tests.server_process import ServerProcess, docker, running
from tests.tiny import Tree, talking_app, tiny_app

NO_MEMORY_LEFT = {"STACKYN_APPS__MEMORY_RESERVE_MB": str(2**30)}
TEMPLATE = '{{ env "HOME" }}.example.org'  # no host name: the ingress refuses to publish it
BODY = os.urandom(100_000)
ANSWERS = {"0", "1", "slow", hashlib.sha256(BODY).hexdigest()}


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    patient = {"display_name": "Patient", "price": 0, "max_ram_mb": 9999, "max_disk_mb": 9999, "max_apps": 9}
    async with running(
        **{
            "plans.pro": {"zero_downtime": False},
            "plans.patient": {**patient, "zero_downtime": True},
            "apps": {"drain_seconds": 20},
        }
    ) as server:
        yield server


@pytest.fixture(scope="module")
async def apps(server: ServerProcess, git: GitServer) -> dict[str, int]:
    """Apps that answer `0`, on a server that has no memory for another container from then on."""
    app_ids = {}
    for name in ("swap", "lost"):
        url, _ = await git.publish(name, talking_app("0"))
        app_ids[name], deployment = await server.create(url, name)
        await server.deployed(deployment)
    await server.stop()
    server.environment = NO_MEMORY_LEFT
    await server.start()
    return app_ids


@pytest.fixture
def app(apps: dict[str, int]) -> int:
    return apps["swap"]


async def test_rollout_in_place_fails_no_request_and_never_runs_both(
    server: ServerProcess, git: GitServer, app: int
) -> None:
    before = await _containers(server, app)
    async with _visited(server) as answers:
        deployment = await _redeploy(server, git, app, talking_app("1"))
        most = await _most_at_once(server, app, deployment)
        await server.deployed(deployment)
        assert await server.visit("swap") == (200, "1")
    assert {answer for answer in answers if answer[0] != 200} == set()
    assert {text.strip() for _, text in answers} == ANSWERS
    assert most == 1
    assert await _containers(server, app) != before
    log = await server.build_log(deployment)
    assert "not enough memory to run both" in log


async def test_failed_rollout_in_place_restarts_the_old_release(
    server: ServerProcess, git: GitServer, app: int
) -> None:
    async with _visited(server) as answers:
        deployment = await _redeploy(server, git, app, tiny_app("2", start="exit 1\n"))
        failed = await server.deployed(deployment, "failed")
        assert failed["failure"]["code"] == "APP_EXITED"
        assert (await server.visit("swap"))[0] == 200
    assert {answer for answer in answers if answer[0] != 200} == set()
    assert "2" not in {text.strip() for _, text in answers}
    assert len(await _containers(server, app)) == 1
    assert (await server.api("GET", f"/api/v1/apps/{app}", expect=200))["status"] == "running"


async def test_refused_host_leaves_the_old_container_running(
    server: ServerProcess, git: GitServer, app: int
) -> None:
    before = await _containers(server, app)
    database = await asyncpg.connect(embedded_url(server.data_dir))
    try:
        await database.execute(
            "INSERT INTO domain (host, app, state) VALUES ($1, $2, 'active')", TEMPLATE, app
        )
        failed = await server.deployed(await _redeploy(server, git, app, talking_app("5")), "failed")
        await database.execute("DELETE FROM domain WHERE app = $1", app)
    finally:
        await database.close()
    assert "host name" in failed["failure"]["message"]
    assert await _containers(server, app) == before
    status, answer = await server.visit("swap")
    assert status == 200, answer


async def test_zero_downtime_plan_waits_for_memory_and_says_so(
    server: ServerProcess, git: GitServer, app: int
) -> None:
    me = await server.api("GET", "/api/user/me", expect=200)
    await server.api("PATCH", f"/admin/users/{me['id']}/plan", {"plan": "patient"}, expect=200)
    try:
        before = await _containers(server, app)
        deployment = await _redeploy(server, git, app, tiny_app("3"))

        async def waits() -> bool:
            shown = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
            return "not enough free memory" in str(shown["waiting"])

        await server.until(waits, 30, "the deployment says that it waits for memory")
        failed = await server.deployed(deployment, "failed")
        assert failed["failure"]["code"] == "NO_MEMORY"
        assert await _containers(server, app) == before
    finally:
        await server.api("PATCH", f"/admin/users/{me['id']}/plan", {"plan": "pro"}, expect=200)


async def test_a_first_deploy_without_memory_ends_with_that_reason(
    server: ServerProcess, git: GitServer, app: int
) -> None:
    url, _ = await git.publish("first", tiny_app("never"))
    _, deployment = await server.create(url, "First")
    assert (await server.deployed(deployment, "failed"))["failure"]["code"] == "NO_MEMORY"


async def test_a_swap_may_find_the_app_on_another_port(
    server: ServerProcess, git: GitServer, app: int
) -> None:
    moved = talking_app("4")
    moved["start"] = str(moved["start"]).replace("$PORT", "3000")
    moved["Dockerfile"] = str(moved["Dockerfile"]).replace("EXPOSE 8080\n", "")
    async with _visited(server) as answers:
        deployment = await _redeploy(server, git, app, moved)
        await server.deployed(deployment)
        assert await server.visit("swap") == (200, "4")
    assert {status for status, _ in answers} <= {200, 503}, "who was sent to the other port is refused"


async def test_app_has_failed_when_the_old_release_fails_too(
    server: ServerProcess, git: GitServer, apps: dict[str, int]
) -> None:
    lost = apps["lost"]
    release = (await server.api("GET", f"/api/v1/apps/{lost}/releases", expect=200))[0]
    await git.publish("lost", tiny_app("2", start="/bin/busybox sleep 2\nexit 1\n"))
    again = await server.redeploy(lost)

    async def boots() -> bool:
        view = await server.api("GET", f"/api/v1/apps/{lost}", expect=200)
        return bool(view["phase"] == "probing")

    await server.until(boots, 30, "the new release is being probed")
    await docker("rmi", "-f", release["image"])
    visit = asyncio.create_task(_visit(server, "lost"))
    await server.deployed(again, "failed")
    assert (await visit)[0] == 503

    async def has_failed() -> bool:
        view = await server.api("GET", f"/api/v1/apps/{lost}", expect=200)
        return bool(view["status"] == "failed" and view["stop_reason"])

    await server.until(has_failed, 10, "the app has failed")
    await server.until(lambda: _answers(server, "lost", 404), 10, "its route is withdrawn")


async def _redeploy(server: ServerProcess, git: GitServer, app: int, tree: Tree) -> int:
    await git.publish("swap", tree)
    return await server.redeploy(app)


async def _answers(server: ServerProcess, slug: str, status: int) -> bool:
    return (await server.visit(slug))[0] == status


@asynccontextmanager
async def _visited(server: ServerProcess) -> AsyncIterator[list[tuple[int, str]]]:
    """Visit the app all the time: short and long answers, with and without a body."""
    answers: list[tuple[int, str]] = []
    ended = asyncio.Event()

    async def visit(path: str, body: bytes | None) -> None:
        while not ended.is_set():
            answers.append(await _visit(server, "swap", path, body))

    orders = [("/", None), ("/", None), ("/slow", None), ("/", BODY)]
    visitors = [asyncio.create_task(visit(*order)) for order in orders]
    try:
        yield answers
    finally:
        ended.set()
        await asyncio.gather(*visitors)


async def _visit(
    server: ServerProcess, slug: str, path: str = "/", body: bytes | None = None
) -> tuple[int, str]:
    """As `ServerProcess.visit`, but with patience for a hold, and a body."""
    method = "GET" if body is None else "POST"
    url, headers = f"http://127.0.0.1:{server.ingress_port}{path}", {"Host": f"{slug}.localhost"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=patient(90))) as session,
            session.request(method, url, data=body, headers=headers) as answer,
        ):
            return answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        return 0, repr(error)


async def _most_at_once(server: ServerProcess, app: int, deployment: int) -> int:
    """Watch the app's containers until the deployment has ended; return how many there were at most."""
    most = 0

    async def ended() -> bool:
        nonlocal most
        most = max(most, len(await _containers(server, app)))
        view = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        return view["status"] not in ("pending", "building")

    await server.until(ended, 60, "the deployment ends")
    return most


async def _containers(server: ServerProcess, app: int) -> list[str]:
    """The app's own containers; its build has one too."""
    mine = (f"io.stackyn.installation={server.installation}", f"io.stackyn.app={app}", "io.stackyn.role=app")
    return (await docker("ps", "-aq", *(f"--filter=label={label}" for label in mine))).split()
