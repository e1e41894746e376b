"""How long the endpoints that clients call most take to answer while two builds run, beside the same at rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.api.answers import UNLIMITED, Served, described, measured, p99
from tests.bench.machine import machine
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running
from tests.tiny import tiny_app

BUILDS, CLIENTS, ROUNDS = 2, 2, 250
LONGEST_SECONDS = 1.0  # of 99 in 100 answers; clients give up after ten times that

# Work for a processor and a disk, with a log that grows, for longer than anybody measures.
DOCKERFILE = """\
FROM stackyn/python:3.11
RUN while true; do python3 -m compileall -f -q /usr/lib/python3.11 && echo compiled; done
"""


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_the_busiest_endpoints_while_two_builds_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [await machine()]
    async with (
        GitServer(tmp_path) as git,
        running(builds={"concurrency": BUILDS}, rates=UNLIMITED) as server,
    ):
        url, _ = await git.publish("served", tiny_app())
        app, deployment = await server.create(url, "Served")
        await server.deployed(deployment)
        served = Served(server, "served", app, deployment)
        at_rest = (await measured(served, CLIENTS, ROUNDS)).api
        url, _ = await git.publish("busy", {"Dockerfile": DOCKERFILE})
        builds = [(await server.create(url, f"Busy {number}"))[1] for number in range(BUILDS)]
        await _until_all_compile(server, builds)
        building = (await measured(served, CLIENTS, ROUNDS)).api
        await _until_all_compile(server, builds)
        for build in builds:
            await server.api("POST", f"/api/v1/deployments/{build}/cancel", expect=200)
    lines.append(
        f"{CLIENTS} clients, {CLIENTS * ROUNDS} answers each; p50 and p99 in ms, at rest and while {BUILDS} build:"
    )
    lines += [described(name, at_rest[name], building[name]) for name in at_rest]
    with capsys.disabled():
        print("", *lines, sep="\n")
    slow = {name: p99(seconds) for name, seconds in building.items() if p99(seconds) > LONGEST_SECONDS}
    assert not slow


async def _until_all_compile(server: ServerProcess, builds: list[int]) -> None:
    """Return when both builds are at work; fail when one has ended."""

    async def all_compile() -> bool:
        logs = [await server.api("GET", f"/api/v1/deployments/{build}/logs", expect=200) for build in builds]
        assert {log["status"] for log in logs} <= {"pending", "building"}, logs
        return all("compiled" in (log["build_log"] or "") for log in logs)

    await server.until(all_compile, 120, "both builds compile")
