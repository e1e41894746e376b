"""What runs is watched: measured, kept to its disk, brought back, and shown as it is."""

from __future__ import annotations

from typing import Any

import pytest

from stackyn_server.config import Settings
from tests.git_server import GitServer, Program
from tests.server_process import ServerProcess, containers_of, docker
from tests.tiny import DOCKERFILE, SERVE, tiny_app

AS_ROOT = DOCKERFILE.replace("USER 1000\n", "")


async def test_a_running_app_is_measured(server: ServerProcess, git: GitServer) -> None:
    url, _ = await git.publish("measured", tiny_app())
    app, _ = await server.create(url, "Measured")
    deployment_view = (await until_status(server, app, "running"))["deployment"]
    assert deployment_view["resource_limits"] == {"memory_mb": 64, "cpu": 0.5, "disk_gb": 0.06}
    usage = deployment_view["usage_stats"]
    assert 0 <= usage["memory_usage_mb"] < 64 and 0 < usage["memory_usage_percent"] < 100
    assert usage["disk_usage_gb"] >= 0 and usage["restart_count"] == 0

    async def sampled() -> bool:
        points = (await server.api("GET", f"/api/v1/apps/{app}/metrics?range=1h", expect=200))["points"]
        return any(point["cpu"] is not None for point in points)

    await server.until(sampled, 30, "the app was sampled twice")
    point = (await server.api("GET", f"/api/v1/apps/{app}/metrics?range=1h", expect=200))["points"][-1]
    assert 0 < point["memory_bytes"] < 64 * 2**20
    assert point["received_bytes"] is not None


async def test_an_app_that_fills_its_disk_is_stopped_with_the_reason(
    server: ServerProcess, git: GitServer
) -> None:
    fill = "/bin/busybox dd if=/dev/zero of=/big bs=1M count=20\n"
    app, _ = await server.deploy(
        git, "full", tiny_app(start=fill + SERVE, dockerfile=AS_ROOT), "Full", disk_mb=16
    )
    stopped = await until_status(server, app, "stopped")
    assert "16 MB" in stopped["stop_reason"]
    names = [event["name"] for event in await server.api("GET", f"/api/v1/apps/{app}/events", expect=200)]
    assert {"app.disk_full", "app.given_up"} <= set(names)


async def until_status(server: ServerProcess, app: int, status: str, seconds: float = 30) -> dict[str, Any]:
    """Wait until the app is shown with `status`, and return the view."""
    view: dict[str, Any] = {}

    async def is_so() -> bool:
        nonlocal view
        view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
        return bool(view["status"] == status)

    await server.until(is_so, seconds, f"app {app} is {status}")
    return view


async def test_crash_count_survives_a_restart_and_stops_the_app(
    server: ServerProcess, git: GitServer
) -> None:
    app, _ = await server.deploy(git, "crashes", {**tiny_app(), **END}, "Crashes")
    await server.until_kept_up(app)
    await server.visit("crashes", "/cgi-bin/end")
    await until_events(server, app, {"app.crashed"})
    await until_answers(server, "crashes", "hello")

    await server.kill()
    await server.visit("crashes", "/cgi-bin/end")
    await until_answers(server, "crashes", "hello")
    await server.start()
    await until_events(server, app, {"app.crashed"}, count=2)
    away, seen = [event["data"] for event in await events_of(server, app, "app.crashed")]
    assert (seen["exit_code"], seen["count"]) == (143, 1)
    assert (away["exit_code"], away["count"]) == (None, 1)

    async def shows_both() -> bool:
        view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
        usage = view["deployment"].get("usage_stats")
        return bool(usage and usage["restart_count"] == 2 and view["status"] == "running")

    await server.until(shows_both, 20, "both crashes are counted and the app runs")
    await server.visit("crashes", "/cgi-bin/end")
    stopped = await until_status(server, app, "stopped")
    assert "exit code 143. That happened 3 times" in stopped["stop_reason"]
    await server.api("POST", f"/api/v1/apps/{app}/start", expect=200)
    await until_answers(server, "crashes", "hello")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(7, "exit code 7"), (137, "was killed (exit code 137), most likely because it used more memory")],
)
async def test_app_that_ends_repeatedly_is_failed_until_stopped(
    server: ServerProcess, git: GitServer, code: int, reason: str
) -> None:
    start = f"if [ -e /broken ]; then /bin/busybox sleep 1; exit {code}; fi\n{SERVE}"
    app_files = tiny_app(start=start, dockerfile=AS_ROOT)
    app, _ = await server.deploy(
        git, f"loop-{code}", {**app_files, "www/cgi-bin/break": cgi("> /broken; kill 1")}, f"Loop {code}"
    )
    await server.until_kept_up(app)
    await server.visit(f"loop-{code}", "/cgi-bin/break")
    shown = await until_status(server, app, "failed", seconds=5)
    assert (shown["phase"], shown["deployment"]["state"]) == ("down", "failed")
    assert "usage_stats" not in shown["deployment"]
    words = {"failed"}

    async def is_stopped() -> bool:
        view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
        words.add(view["status"])
        return bool(view["status"] == "stopped")

    await server.until(is_stopped, 30, "the app is stopped at the limit")
    assert words == {"failed", "stopped"}, "it is never called running in between"
    view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
    assert reason in view["stop_reason"]


async def test_an_app_out_of_memory_is_told_so(server: ServerProcess, git: GitServer) -> None:
    start = f"if [ -e /hungry ]; then exec /bin/busybox tail /dev/zero; fi\n{SERVE}"
    app_files = tiny_app(start=start, dockerfile=AS_ROOT)
    app, _ = await server.deploy(
        git, "hungry", {**app_files, "www/cgi-bin/eat": cgi("> /hungry; kill 1")}, "Hungry"
    )
    await server.until_kept_up(app)
    await server.visit("hungry", "/cgi-bin/eat")

    async def is_named() -> bool:
        crashes = [event["data"] for event in await events_of(server, app, "app.crashed")]
        return any(
            crash["out_of_memory"] and "more memory than it is allowed" in crash["reason"]
            for crash in crashes
        )

    await server.until(is_named, 30, "the crash is named")
    assert len(await events_of(server, app, "app.out_of_memory")) == 1, "told once, not with each crash"


async def test_a_container_removed_by_hand_is_made_again(server: ServerProcess, git: GitServer) -> None:
    app, deployment = await server.deploy(git, "removed", tiny_app("still here"), "Removed")
    for verb in (["rm", "-f"], ["stop", "-t", "0"]):
        before = (await server.api("GET", f"/api/v1/deployments/{deployment}"))["container_id"]["String"]
        repaired = len(await events_of(server, app, "app.repaired"))
        await docker(*verb, before)
        await until_status(server, app, "failed", seconds=5)
        await until_events(server, app, {"app.repaired"}, count=repaired + 1)
        await until_answers(server, "removed", "still here")
        await until_status(server, app, "running", seconds=10)
    container = (await server.api("GET", f"/api/v1/deployments/{deployment}"))["container_id"]["String"]
    await docker("pause", container)
    await until_status(server, app, "failed", seconds=5)
    await docker("unpause", container)
    await until_status(server, app, "running", seconds=5)
    assert await events_of(server, app, "app.crashed") == [], "whoever removes it is not the app"


async def test_app_that_fails_its_health_check_is_restarted(server: ServerProcess, git: GitServer) -> None:
    app_files = tiny_app(start=f"echo well > /www/well\n{SERVE}", dockerfile=AS_ROOT)
    app, deployment = await server.deploy(
        git, "sick", {**app_files, "www/cgi-bin/sicken": cgi("rm /www/well")}, "Sick", health_path="/well"
    )
    await server.visit("sick", "/cgi-bin/sicken")
    await until_events(server, app, {"app.unhealthy", "app.restarted", "app.recovered"})
    assert await server.visit("sick", "/well") == (200, "well\n")
    view = await until_status(server, app, "running", seconds=10)
    assert view["phase"] == "live"
    assert await events_of(server, app, "app.crashed") == [], "our own restart is no crash of the app"
    container = (await server.api("GET", f"/api/v1/deployments/{deployment}"))["container_id"]["String"]
    assert (await docker("inspect", "-f", "{{.RestartCount}}", container)).strip() == "0"


@pytest.mark.full
async def test_an_app_that_never_gets_well_is_stopped_at_the_limit(
    server: ServerProcess, git: GitServer
) -> None:
    start = f"if [ ! -e /sick ]; then echo well > /www/well; fi\n{SERVE}"
    app_files = tiny_app(start=start, dockerfile=AS_ROOT)
    app, _ = await server.deploy(
        git,
        "ill",
        {**app_files, "www/cgi-bin/sicken": cgi("> /sick; rm /www/well")},
        "Ill",
        health_path="/well",
    )
    await server.visit("ill", "/cgi-bin/sicken")
    stopped = await until_status(server, app, "stopped", seconds=100)
    assert "health checks in a row. That happened 3 times" in stopped["stop_reason"]
    assert len(await events_of(server, app, "app.restarted")) == 3


async def test_release_ended_from_outside_at_its_start_is_retried(
    server: ServerProcess, git: GitServer
) -> None:
    """As an engine does with all containers on its way out."""
    late = tiny_app(start=f"/bin/busybox sleep 3\n{SERVE}")
    url, _ = await git.publish("interrupted", late)
    app, deployment = await server.create(url, "Interrupted")

    async def starts() -> bool:
        return bool((await server.api("GET", f"/api/v1/apps/{app}", expect=200))["phase"] == "probing")

    await server.until(starts, 30, "the release starts")
    first = await containers_of(server, app)
    await docker("stop", "-t", "0", *first)
    await server.deployed(deployment)
    assert await server.visit("interrupted") == (200, "hello")
    assert await containers_of(server, app) != first


def cgi(command: str) -> Program:
    return Program(f"#!/bin/busybox sh\n{command}\necho; echo done\n".encode())


END = {"www/cgi-bin/end": cgi("kill 1")}


async def events_of(server: ServerProcess, app: int, name: str) -> list[dict[str, Any]]:
    events = await server.api("GET", f"/api/v1/apps/{app}/events?limit=500", expect=200)
    return [event for event in events if event["name"] == name]


async def until_events(server: ServerProcess, app: int, names: set[str], *, count: int = 1) -> None:
    async def are_there() -> bool:
        return all([len(await events_of(server, app, name)) >= count for name in names])

    await server.until(are_there, 30, f"app {app} has {count} of each of {names}")


async def until_answers(server: ServerProcess, slug: str, text: str) -> None:
    async def answers() -> bool:
        return (await server.visit(slug)) == (200, text)

    await server.until(answers, 30, f"{slug} answers")


async def test_networks_exist_before_the_first_deploy(server: ServerProcess) -> None:
    """Those of build slots; one that somebody removes is made again."""
    mine = f"label=io.stackyn.installation={server.installation}"

    async def build_networks() -> set[str]:
        names = await docker("network", "ls", "--filter", mine, "--format", "{{.Name}}")
        return {name for name in names.split() if "-build" in name}

    async def are_there() -> bool:
        return len(await build_networks()) == Settings().builds.concurrency

    await server.until(are_there, 30, "each build slot has its network")
    await docker("network", "rm", max(await build_networks()))
    await server.until(are_there, 30, "the removed one is back")
