"""When the proxy can't turn: the old release serves on, nothing is taken away unconfirmed, and it rights itself."""

from __future__ import annotations

import os

import asyncpg

from stackyn_server.postgres.embedded import embedded_url
from tests.git_server import GitServer
from tests.server_process import ServerProcess, containers_of, docker, proxies
from tests.tiny import tiny_app

ROUTES = "ingress/routes/routes.yml"
TEMPLATE = '{{ env "HOME" }}.example.org'


async def _app(server: ServerProcess, git: GitServer, name: str) -> int:
    app, _ = await server.deploy(git, name, tiny_app("old"), name)
    return app


async def _redeploy(server: ServerProcess, git: GitServer, name: str, app: int, greeting: str) -> int:
    await git.publish(name, tiny_app(greeting))
    return await server.redeploy(app)


async def test_hanging_proxy_keeps_both_containers_until_confirmed(
    careful_server: ServerProcess, git: GitServer
) -> None:
    server, name = careful_server, "hanging"
    app = await _app(server, git, name)
    serving = await containers_of(server, app)
    (proxy,) = await proxies(server)
    await docker("pause", proxy)
    try:
        failed = await server.deployed(await _redeploy(server, git, name, app, "new"), "failed")
        both = await containers_of(server, app)
        logs = await server.api("GET", f"/api/v1/deployments/{failed['id']}/logs", expect=200)
    finally:
        await docker("unpause", proxy)

    assert failed["failure"]["code"] == "SWITCH_FAILED"
    assert failed["failure"]["phase"] == "switching"
    assert "Nothing was switched off" in failed["failure"]["hint"]
    assert "did not answer. Going back." in logs["build_log"]
    assert len(both) == 2, "the proxy may still send to either"
    assert await server.visit(name) == (200, "old")

    async def only_the_old_one() -> bool:
        return await containers_of(server, app) == serving

    await server.until(only_the_old_one, 30, "the new container is gone, after a confirmation")
    assert await server.visit(name) == (200, "old")
    assert (await server.api("GET", f"/api/v1/apps/{app}", expect=200))["status"] == "running"

    await server.deployed(await _redeploy(server, git, name, app, "newer"))
    assert await server.visit(name) == (200, "newer")


async def test_deploy_succeeds_after_the_proxy_died(server: ServerProcess, git: GitServer) -> None:
    name = "dying"
    app = await _app(server, git, name)
    await docker("kill", *(await proxies(server)))
    await server.deployed(await _redeploy(server, git, name, app, "new"))

    assert await server.visit(name) == (200, "new")


async def test_template_text_in_a_domain_fails_only_its_apps_deploy(
    server: ServerProcess, git: GitServer
) -> None:
    name = "templated"
    app = await _app(server, git, name)
    neighbour = await _app(server, git, "neighbour")
    database = await asyncpg.connect(embedded_url(server.data_dir))
    await database.execute("INSERT INTO domain (host, app, state) VALUES ($1, $2, 'active')", TEMPLATE, app)
    failed = await server.deployed(await _redeploy(server, git, name, app, "new"), "failed")

    assert failed["failure"]["code"] == "SWITCH_FAILED"
    assert "host name" in failed["failure"]["message"] and "domain" in failed["failure"]["hint"]
    assert await server.visit(name) == (200, "old")
    await server.deployed(await _redeploy(server, git, "neighbour", neighbour, "new"))
    assert await server.visit("neighbour") == (200, "new")
    assert "{{" not in (server.data_dir / ROUTES).read_text()

    await database.execute("DELETE FROM domain WHERE app = $1", app)
    await database.close()
    await server.deployed(await _redeploy(server, git, name, app, "newer"))
    assert await server.visit(name) == (200, "newer")


async def test_truncated_route_file_is_written_again(server: ServerProcess, git: GitServer) -> None:
    name = "cut-off"
    await _app(server, git, name)
    path = server.data_dir / ROUTES
    whole = path.stat().st_size
    os.truncate(path, whole // 2)
    await docker("restart", "-t", "0", *(await proxies(server)))

    async def serves() -> bool:
        return await server.visit(name) == (200, "old") and path.stat().st_size == whole

    await server.until(serves, 30, "the app is served from a whole file")
