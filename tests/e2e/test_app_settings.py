"""What an app's owner and its repository set, obeyed by the whole product."""

from __future__ import annotations

import json

from tests.commands import app_with_shell
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker
from tests.tiny import DOCKERFILE, SERVE, Tree, busybox

SITE: Tree = {
    "package.json": json.dumps(
        {"scripts": {"build": 'mkdir -p dist && echo "<p>$VITE_GREETING</p>" > dist/index.html'}}
    ),
    "stackyn.toml": 'publish_directory = "dist"\n',
}
MOUNTING = DOCKERFILE.replace(
    "USER 1000",
    "ARG PLACE\nRUN --mount=type=secret,id=GREETING,env=GREETING "
    '["/bin/busybox", "sh", "-c", "echo $PLACE: $GREETING > /www/index.html"]\nUSER 1000',
)


async def deploy(server: ServerProcess, app: int, **changes: object) -> str:
    """Change settings, deploy again, and return the build log."""
    await server.api("PATCH", f"/api/v1/apps/{app}", changes, expect=200)
    again = await server.redeploy(app)
    await server.deployed(again)
    return await server.build_log(again)


async def set_variable(server: ServerProcess, app: int, key: str, value: str) -> None:
    await server.api("POST", f"/api/v1/apps/{app}/env", {"key": key, "value": value}, expect=200)


async def test_a_build_script_finds_the_variables(server: ServerProcess, git: GitServer) -> None:
    url, _ = await git.publish("vite", SITE)
    variables = [{"key": "VITE_GREETING", "value": "set in the settings"}]
    app, deployment = await server.create(url, "vite", env_vars=variables)
    await server.deployed(deployment)
    assert await server.visit("vite") == (200, "<p>set in the settings</p>\n")

    await set_variable(server, app, "VITE_GREETING", "set anew")
    log = await deploy(server, app)
    assert await server.visit("vite") == (200, "<p>set anew</p>\n")
    assert "1 variable " in log and "set anew" not in log


async def test_dockerfile_path_from_the_root_directory_or_the_top(
    server: ServerProcess, git: GitServer
) -> None:
    tree: Tree = {
        "docker/web.Dockerfile": MOUNTING.replace("$PLACE", "top $PLACE"),
        "web/docker/inner.Dockerfile": MOUNTING.replace("$PLACE", "root $PLACE"),
        "web/busybox": busybox(),
        "web/start": SERVE,
        "web/www/index.html": "",
    }
    url, _ = await git.publish("paths", tree)
    variables = [{"key": "PLACE", "value": "here"}, {"key": "GREETING", "value": "one"}]
    app, deployment = await server.create(
        url,
        "paths",
        env_vars=variables,
        root_directory="./web",
        dockerfile_path="./docker/web.Dockerfile",
    )
    await server.deployed(deployment)
    assert await server.visit("paths") == (200, "top here: one\n")
    assert "declares PLACE with ARG" in await server.build_log(deployment)

    await set_variable(server, app, "GREETING", "two")
    assert "CACHED" not in "".join(line for line in (await deploy(server, app)).splitlines() if "RUN" in line)
    assert await server.visit("paths") == (200, "top here: two\n")

    await deploy(server, app, dockerfile_path="./docker/inner.Dockerfile")
    assert await server.visit("paths") == (200, "root here: two\n")


async def test_how_stackyn_toml_has_it_built_started_and_asked(server: ServerProcess, git: GitServer) -> None:
    settings = (
        'start_command = "busybox httpd -f -p $PORT -h /www/other"\nhealth_path = "/absent"\n'
        "health_timeout_seconds = 2\nbuild_memory_mb = 300\n"
    )
    tree = {**app_with_shell("obedient"), "www/other/index.html": "other", "stackyn.toml": settings}
    url, _ = await git.publish("obedient", tree)
    app, deployment = await server.create(url, "obedient")

    async def has_its_limit() -> bool:
        mine = f"label=io.stackyn.installation={server.installation}"
        builders = await docker("ps", "-q", "--filter", mine, "--filter", "label=io.stackyn.role=builder")
        memory = await docker("inspect", "-f", "{{.HostConfig.Memory}}", *builders.split())
        return memory.strip() == str(300 * 1024 * 1024)

    await server.until(has_its_limit, 30, "the builder may use 300 MiB")
    failed = await server.deployed(deployment, "failed")
    assert failed["failure"]["code"] == "APP_UNHEALTHY"
    assert "/absent with a success within 2 seconds" in failed["failure"]["message"]
    assert "The build may use 300 MiB of memory." in await server.build_log(deployment)

    log = await deploy(server, app, health_path="/", build_memory_mb=400)
    assert await server.visit("obedient") == (200, "other")
    assert "within 2 s." in log
