"""When an app is ready, on which port, and what its owner reads meanwhile: real images, containers and ingress."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.git_server import GitServer, Program
from tests.server_process import ServerProcess, containers_of, docker, running
from tests.tiny import DOCKERFILE, SERVE, Tree, tiny_app

STEADY_SECONDS = 3


@pytest.fixture(scope="module")
async def calm_server() -> AsyncIterator[ServerProcess]:
    """With the steady time of production."""
    async with running(probe={"steady_seconds": STEADY_SECONDS}) as server:
        yield server


def exposing(ports: str, listens_on: str) -> Tree:
    """An app whose image exposes `ports`, and which listens on one of its own choice."""
    dockerfile = DOCKERFILE.replace("EXPOSE 8080", f"EXPOSE {ports}" if ports else "")
    return tiny_app("found", start=SERVE.replace("$PORT", listens_on), dockerfile=dockerfile)


INHERITING = """\
FROM scratch AS below
COPY busybox /bin/busybox
EXPOSE 5000
FROM below
COPY www /www
COPY start /start
USER 1000
CMD ["/bin/busybox", "sh", "/start"]
"""


@pytest.mark.parametrize(
    ("name", "tree", "port", "expected_port"),
    [
        ("inherits", tiny_app("found", dockerfile=INHERITING), 5000, 5000),
        ("several", exposing("5443 5000", "5000"), 5000, 8080),
        ("other", exposing("", "3000"), 3000, 8080),
    ],
)
async def test_the_port_is_the_images_or_where_it_listens(
    server: ServerProcess, git: GitServer, name: str, tree: Tree, port: int, expected_port: int
) -> None:
    app, deployment = await server.deploy(git, name, tree, name)
    assert await server.visit(name) == (200, "found")
    assert await server.visit(name, "/cgi-bin/env") == (200, f"GREETING= PORT={expected_port}\n")
    log = await server.build_log(deployment)
    assert f"Waiting for it to answer on port {expected_port}." in log
    assert (f"answers on port {port}: that one is used" in log) == (port != expected_port)
    verified = await server.api("GET", f"/api/v1/apps/{app}/verify", expect=200)
    assert verified["port"] == port

    again = await server.api("POST", f"/api/v1/apps/{app}/restart", expect=201)
    await server.deployed(again["deployment"]["id"])
    assert await server.visit(name, "/cgi-bin/env") == (200, f"GREETING= PORT={expected_port}\n")


PICKY = """\
#!/bin/busybox sh
if [ "$HTTP_HOST" = picky.localhost ] && [ -e /tmp/warm ]; then echo; echo warm; exit; fi
printf 'Status: 503 Not yet\\r\\n\\r\\nasked as %s over %s\\n' "$HTTP_HOST" "$HTTP_X_FORWARDED_PROTO"
"""
WARMS_UP = "(/bin/busybox sleep 3; : >/tmp/warm) &\n" + SERVE


def picky_app(start: str) -> Tree:
    dockerfile = DOCKERFILE.replace("USER 1000\n", "").replace(
        "COPY start /start", "COPY start /start\nCOPY tmp /tmp"
    )
    tree = tiny_app(start=start, dockerfile=dockerfile)
    return {**tree, "www/cgi-bin/up": Program(PICKY.encode()), "tmp/none": ""}


async def test_an_app_may_warm_up_and_ask_for_its_own_host(server: ServerProcess, git: GitServer) -> None:
    _, deployment = await server.deploy(git, "picky", picky_app(WARMS_UP), "picky", health_path="/cgi-bin/up")
    assert await server.visit("picky", "/cgi-bin/up") == (200, "warm\n")
    log = await server.build_log(deployment)
    assert "It answers /cgi-bin/up with 503 Service Unavailable: waiting until it is ready." in log
    assert "It answers /cgi-bin/up with 200 OK." in log


async def test_an_unhealthy_app_is_told_path_status_and_line(
    careful_server: ServerProcess, git: GitServer
) -> None:
    url, _ = await git.publish("never-warm", picky_app(SERVE))
    _, deployment = await careful_server.create(url, "never-warm", health_path="/cgi-bin/up")
    failed = await careful_server.deployed(deployment, "failed")
    assert failed["failure"]["code"] == "APP_UNHEALTHY"
    message = failed["failure"]["message"]
    assert "/cgi-bin/up" in message and "503 Service Unavailable" in message
    assert "asked as never-warm.localhost over http" in message


async def test_an_app_without_http2_is_no_h2c_app(careful_server: ServerProcess, git: GitServer) -> None:
    url, _ = await git.publish("older", tiny_app())
    _, deployment = await careful_server.create(url, "older", protocol="h2c")
    failed = await careful_server.deployed(deployment, "failed")
    assert failed["failure"]["code"] == "APP_UNHEALTHY"
    assert "did not speak HTTP/2 without TLS" in failed["failure"]["message"]


async def test_the_log_says_what_visitors_get(server: ServerProcess, git: GitServer) -> None:
    tree = tiny_app()
    del tree["www/index.html"]
    _, deployment = await server.deploy(git, "homeless", {**tree, "www/page.html": "there"}, "homeless")
    log = await server.build_log(deployment)
    assert "It is live, but its visitors get 404 Not Found for /." in log


async def test_a_first_deploy_is_live_as_soon_as_it_answers(
    calm_server: ServerProcess, git: GitServer
) -> None:
    server = calm_server
    app, _ = await server.deploy(git, "quick", tiny_app("one"), "quick")
    assert await server.visit("quick") == (200, "one")
    (container,) = await containers_of(server, app)

    policy = await docker("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", container)
    assert policy.strip() == "no", "it has yet to show that it stays"
    await server.until_kept_up(app)
    again = await server.redeploy(app)
    await server.deployed(again)
    log = await server.build_log(again)
    assert f"It gets visitors when it has gone on answering for {STEADY_SECONDS} s." in log


BRIEF = "/bin/busybox httpd -p $PORT -h /www\n/bin/busybox sleep 1\necho out of luck\nexit 3\n"


async def test_a_first_deploy_that_ends_soon_is_failed(calm_server: ServerProcess, git: GitServer) -> None:
    server = calm_server
    url, _ = await git.publish("brief", tiny_app(start=BRIEF))
    app, deployment = await server.create(url, "brief")

    async def failed() -> bool:
        current = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        return bool(current["status"] == "failed")

    await server.until(failed, 30, "the deployment is failed")
    failed_deployment = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
    assert failed_deployment["failure"]["code"] == "APP_EXITED"
    assert "code 3" in failed_deployment["error_message"]["String"]
    assert "out of luck" in failed_deployment["failure"]["evidence"]
    log = await server.build_log(deployment)
    assert log.index("Live at") < log.index("| out of luck"), "it was live, and then it wasn't"
    (view,) = [
        app_view
        for app_view in await server.api("GET", "/api/apps", expect=200)
        if app_view["id"] == str(app)
    ]
    assert view["status"] == view["deployment"]["state"] == "failed"
    assert view["deployment"]["active_deployment_id"] == f"dep_{deployment}"
    newest = (await server.api("GET", f"/api/v1/apps/{app}/deployments", expect=200))[0]
    assert (newest["status"], newest["error_message"]["Valid"]) == ("failed", True), "what a console shows"

    async def nobody_answers() -> bool:
        return (await server.visit("brief"))[0] == 404

    await server.until(nobody_answers, 20, "its route is withdrawn")
    await git.publish("brief", tiny_app("better"))
    await server.deployed(await server.redeploy(app))
    assert await server.visit("brief") == (200, "better")


NO_COMMAND = DOCKERFILE.partition("CMD")[0]
MISSING = tiny_app(start="exec gunicorn app:app\n")


@pytest.mark.parametrize(
    ("name", "tree", "says"),
    [
        ("commandless", tiny_app(dockerfile=NO_COMMAND), "neither CMD nor ENTRYPOINT"),
        (
            "programless",
            MISSING,
            "The program gunicorn was not found in its image. The app exited with code 127.",
        ),
    ],
)
async def test_an_app_without_its_program_is_told_so(
    server: ServerProcess, git: GitServer, name: str, tree: Tree, says: str
) -> None:
    url, _ = await git.publish(name, tree)
    _, deployment = await server.create(url, name)
    failed = await server.deployed(deployment, "failed")
    assert failed["failure"]["code"] == "APP_EXITED"
    assert says in failed["failure"]["message"]
    started = "Starting the container" in await server.build_log(deployment)
    assert started == (tree is MISSING), "nothing is started in vain"


async def test_a_server_may_drop_root_after_it_has_its_port(server: ServerProcess, git: GitServer) -> None:
    start = "/bin/busybox chown 33:33 /www\nexec /bin/busybox httpd -f -p 80 -u 33:33 -h /www\n"
    dockerfile = DOCKERFILE.replace("USER 1000\nEXPOSE 8080", "EXPOSE 80")
    app, _ = await server.deploy(
        git, "dropping", tiny_app("dropped", start=start, dockerfile=dockerfile), "dropping"
    )
    assert await server.visit("dropping") == (200, "dropped")
    (container,) = await containers_of(server, app)
    users = (await docker("top", container, "-eo", "pid,uid,args")).splitlines()
    assert any(line.split()[1] == "33" and "httpd" in line for line in users), users
