"""What runs is watched: measured, kept to its disk, brought back, and shown as it is."""

from __future__ import annotations

from typing import Any

from tests.git_server import GitServer
from tests.server_process import ServerProcess
from tests.tiny import DOCKERFILE, SERVE, tiny_app

AS_ROOT = DOCKERFILE.replace("USER 1000\n", "")


async def test_a_running_app_is_measured(server: ServerProcess, git: GitServer) -> None:
    url, _ = await git.publish("measured", tiny_app())
    app, deployment = await server.create(url, "Measured")
    await server.deployed(deployment)

    async def sampled() -> bool:
        view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
        points = (await server.api("GET", f"/api/v1/apps/{app}/metrics?range=1h", expect=200))["points"]
        return "usage_stats" in view["deployment"] and any(point["cpu"] is not None for point in points)

    await server.until(sampled, 30, "the app was sampled twice")
    found = (await server.api("GET", f"/api/v1/apps/{app}", expect=200))["deployment"]
    assert found["resource_limits"] == {"memory_mb": 64, "cpu": 0.5, "disk_gb": 0.06}
    usage = found["usage_stats"]
    assert 0 <= usage["memory_usage_mb"] < 64 and 0 < usage["memory_usage_percent"] < 100
    assert usage["disk_usage_gb"] >= 0 and usage["restart_count"] == 0
    point = (await server.api("GET", f"/api/v1/apps/{app}/metrics?range=1h", expect=200))["points"][-1]
    assert 0 < point["memory_bytes"] < 64 * 2**20
    assert point["received_bytes"] is not None


async def test_an_app_that_fills_its_disk_is_stopped_with_the_reason(
    server: ServerProcess, git: GitServer
) -> None:
    fill = "/bin/busybox dd if=/dev/zero of=/big bs=1M count=20\n"
    url, _ = await git.publish("full", tiny_app(start=fill + SERVE, dockerfile=AS_ROOT))
    app, deployment = await server.create(url, "Full", disk_mb=16)
    await server.deployed(deployment)
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
