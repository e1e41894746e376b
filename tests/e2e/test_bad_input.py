"""Every way to fail ends with a code, the cause, the next step and the evidence, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from tests.crash.audit import rows_of
from tests.git_server import GitServer, Mode
from tests.server_process import ServerProcess, containers_of, free_port, images_of
from tests.tiny import DOCKERFILE, SERVE, Tree, tiny_app

ATTEMPTS = 4  # of the test server's configuration


@dataclass(frozen=True)
class Case:
    name: str
    code: str
    says: str
    tree: Tree = field(default_factory=dict)
    evidence: str = ""


CASES = [
    Case("nothing-detectable", "NOTHING_DETECTED", "", {"README": "hello"}),
    Case(
        "failing-build",
        "BUILD_FAILED",
        "",
        tiny_app(dockerfile=DOCKERFILE + 'RUN ["/bin/busybox", "false"]\n'),
    ),
    Case("bad-dockerfile", "DOCKERFILE_INVALID", "", tiny_app(dockerfile="FROM scratch\nNONSENSE here\n")),
    Case(
        "utf-16-dockerfile",
        "DOCKERFILE_INVALID",
        "UTF-16",
        {**tiny_app(), "Dockerfile": DOCKERFILE.encode("utf-16")},
    ),
    Case("exits", "APP_EXITED", "code 3", tiny_app(start="echo out of luck\nexit 3\n"), "out of luck"),
]

NINE = "/bin/busybox httpd -f -p 9998 -h /www &\n/bin/busybox httpd -f -p 9999 -h /www &\nwait\n"
LATE = [  # nothing is certain before the deadline
    Case("wrong-port", "APP_WRONG_PORT", "port 9998 and port 9999", tiny_app(start=NINE)),
    Case(
        "loopback",
        "APP_ON_LOOPBACK_ONLY",
        "0.0.0.0",
        tiny_app(start=SERVE.replace("$PORT", "127.0.0.1:$PORT")),
    ),
    Case("deaf", "APP_NOT_LISTENING", "8080", tiny_app(start="exec /bin/busybox sleep 600\n")),
]


async def test_where_an_app_listens_is_judged_at_the_deadline(
    careful_server: ServerProcess, git: GitServer
) -> None:
    await asyncio.gather(*(_fails(careful_server, git, case) for case in LATE))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_deployment_that_cannot_work_says_why_and_leaves_nothing(
    server: ServerProcess, git: GitServer, case: Case
) -> None:
    await _fails(server, git, case)


async def _fails(server: ServerProcess, git: GitServer, case: Case) -> None:
    url, _ = await git.publish(case.name, case.tree)
    app, deployment = await server.create(url, case.name)
    failed = await server.deployed(deployment, "failed")
    assert failed["failure"]["code"] == case.code
    assert case.says in failed["error_message"]["String"]
    assert failed["failure"]["hint"]
    assert case.evidence in failed["failure"]["evidence"]
    log = await server.build_log(deployment)
    assert case.evidence in log, "a page that shows only the log shows the reason too"
    assert (await server.api("GET", f"/api/v1/apps/{app}", expect=200))["status"] == "failed"
    assert await _attempts(server, deployment) == {1}, "another try would end the same"
    await _until_nothing_is_left(server, app, case.name, deployment)


async def test_a_repository_that_can_not_be_reached(server: ServerProcess) -> None:
    _, deployment = await server.create(f"http://127.0.0.1:{free_port()}/x.git", "Unreachable")
    failed = await server.deployed(deployment, "failed")
    assert failed["failure"]["code"] == "SOURCE_UNREACHABLE"
    assert failed["failure"]["hint"]
    assert await _attempts(server, deployment) == {ATTEMPTS}, "what may pass is tried again"


async def test_a_repository_that_wants_a_password(server: ServerProcess, git: GitServer) -> None:
    url, _ = await git.publish("private", tiny_app())
    git.modes["private"] = Mode.PRIVATE
    _, deployment = await server.create(url, "Private")
    failed = await server.deployed(deployment, "failed")
    assert failed["failure"]["code"] in ("SOURCE_UNREACHABLE", "SOURCE_REFUSED")


async def test_an_unknown_branch_names_those_that_exist(server: ServerProcess, git: GitServer) -> None:
    url, _ = await git.publish("branches", tiny_app())
    _, deployment = await server.create(url, "Branches", branch="nowhere")
    failed = await server.deployed(deployment, "failed")
    assert failed["failure"]["code"] == "REF_NOT_FOUND"
    assert "main" in failed["error_message"]["String"]


async def test_an_empty_repository(server: ServerProcess, git: GitServer) -> None:
    git.create_now("empty")
    _, deployment = await server.create(f"{git.url}/empty.git", "Empty")
    assert (await server.deployed(deployment, "failed"))["failure"]["code"] == "SOURCE_EMPTY"


async def test_a_failed_redeploy_leaves_the_serving_release_alone(
    server: ServerProcess, git: GitServer
) -> None:
    app, first = await server.deploy(git, "safe", tiny_app("good"), "Safe")
    await git.publish("safe", tiny_app(start="exit 1\n"))
    await server.deployed(await server.redeploy(app), "failed")
    view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
    assert view["status"] == "running"
    assert view["deployment"]["active_deployment_id"] == f"dep_{first}"
    assert await server.visit("safe") == (200, "good")


async def _attempts(server: ServerProcess, deployment: int) -> set[int]:
    """How often the jobs of a deployment were tried."""
    async with rows_of(server) as rows:
        jobs = await rows.fetch(
            "SELECT attempt FROM job WHERE kind IN ('build', 'release') AND subject = $1", str(deployment)
        )
    return {row["attempt"] for row in jobs}


async def _until_nothing_is_left(server: ServerProcess, app: int, slug: str, deployment: int) -> None:
    async def nothing() -> bool:
        clone = server.data_dir / "clones" / f"d{deployment}"
        return not (await containers_of(server, app) or await images_of(server, app) or clone.exists())

    async def no_route() -> bool:  # the first of these tests may be earlier than the proxy
        return (await server.visit(slug))[0] == 404

    await server.until(nothing, 20, "container, image and clone are gone")
    await server.until(no_route, 20, "the proxy knows no such host")
