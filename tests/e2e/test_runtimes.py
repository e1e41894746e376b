"""What people push: each kind of example app in `tests/apps` goes from its repository to an answer of its own."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.conftest import SOCKET
from tests.git_server import GitServer
from tests.server_process import ServerProcess


@dataclass(frozen=True)
class Example:
    """`answers` maps paths to what their answers have in them; `decided` is in the build log."""

    folder: str
    decided: str
    answers: dict[str, str]


EXAMPLES = [
    Example("flask", "gunicorn", {"/": "Hello from a test", "/health": "ok"}),
    Example("python-locked", "uv.lock", {"/": "Hello from a test", "/health": "ok"}),
    Example(
        "express", "package-lock.json", {"/": "Express", "/api/hello": "Hello from a test", "/style.css": "{"}
    ),
    Example(
        "static", "index.html", {"/": "A static site", "/assets/style.css": "{", "/assets/logo.svg": "<svg"}
    ),
    Example("docker", "Dockerfile", {"/": "Hello from a test"}),
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.folder)
async def test_an_example_goes_live(
    server: ServerProcess, git: GitServer, apps_folder: Path, example: Example
) -> None:
    url, commit = await git.publish(example.folder, apps_folder / example.folder)
    app, deployment = await server.create(
        url,
        f"Example {example.folder}",
        memory_mb=128,
        env_vars=[{"key": "GREETING", "value": "Hello from a test"}],
    )
    live = await server.deployed(deployment, seconds=200)

    for path, text in example.answers.items():
        status, answer = await server.visit(f"example-{example.folder}", path)
        assert status == 200 and text in answer, f"{path}: {status} {answer}"
    assert live["commit"] == commit
    log = await server.build_log(deployment)
    assert commit in log and example.decided in log
    if example.folder != "docker":
        writes = "touch /app/written $HOME/written && id -u"
        assert await asyncio.to_thread(_inside, server.installation, app, writes) >= 20_000, (
            "a user of its own, which owns its folders"
        )
    await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)


async def test_a_file_that_a_static_site_lacks_is_its_own_404(
    server: ServerProcess, git: GitServer, apps_folder: Path
) -> None:
    app, _ = await server.deploy(git, "pages", apps_folder / "static", "Pages")
    status, answer = await server.visit("pages", "/assets/nowhere.css")
    assert (status, "This page is not here" in answer) == (404, True)
    await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)


def _inside(installation: str, app: str, script: str) -> int:
    """Run a script in the app's container, as the app's user, and return the number that it prints."""

    def docker(*words: str) -> str:
        command = ("docker", f"--host=unix://{SOCKET}", *words)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    ours, its = f"label=io.stackyn.installation={installation}", f"label=io.stackyn.app={app}"
    container = docker("ps", "--quiet", "--filter", ours, "--filter", its)
    return int(docker("exec", container, "sh", "-c", script))
