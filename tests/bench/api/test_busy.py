"""How long the endpoints that clients call most take to answer while two builds run, beside the same at rest."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from pathlib import Path

import aiohttp
import pytest

from tests.bench.machine import machine
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running
from tests.tiny import tiny_app

BUILDS, CLIENTS, ROUNDS = 2, 2, 250
LONGEST_SECONDS = 1.0  # of 99 in 100 answers; clients give up after ten times that
BOUNDLESS = "1000000/minute"

# Work for a processor and a disk, with a log that grows, for longer than anybody measures.
DOCKERFILE = """\
FROM stackyn/python:3.11
RUN while true; do python3 -m compileall -f -q /usr/lib/python3.11 && echo compiled; done
"""

# What the pages of the consoles and of the CMS poll, load and search.
BUSIEST = [
    ("GET", "/api/user/me"),
    ("GET", "/api/apps"),
    ("GET", "/api/v1/apps/{app}"),
    ("GET", "/api/v1/apps/{app}/deployments"),
    ("GET", "/api/v1/deployments/{deployment}"),
    ("GET", "/api/v1/deployments/{deployment}/logs"),
    ("GET", "/api/v1/apps/{app}/env"),
    ("POST", "/api/v1/apps/{app}/env"),
    ("GET", "/admin/users?limit=50&search=localhost"),
    ("GET", "/admin/apps?limit=50"),
]

Taken = dict[str, list[float]]


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_the_busiest_endpoints_while_two_builds_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [await machine()]
    async with (
        GitServer(tmp_path) as git,
        running(
            builds={"concurrency": BUILDS}, rates={"read_per_user": BOUNDLESS, "write_per_user": BOUNDLESS}
        ) as server,
    ):
        url, _ = await git.publish("served", tiny_app())
        app, deployment = await server.create(url, "Served")
        await server.deployed(deployment)
        at_rest = await _measured(server, app, deployment)
        url, _ = await git.publish("busy", {"Dockerfile": DOCKERFILE})
        builds = [(await server.create(url, f"Busy {number}"))[1] for number in range(BUILDS)]
        await _until_all_compile(server, builds)
        building = await _measured(server, app, deployment)
        await _until_all_compile(server, builds)
        for build in builds:
            await server.api("POST", f"/api/v1/deployments/{build}/cancel", expect=200)
    said.append(
        f"{CLIENTS} clients, {CLIENTS * ROUNDS} answers each; p50 and p99 in ms, at rest and while {BUILDS} build:"
    )
    said += [_described(name, at_rest[name], building[name]) for name in at_rest]
    with capsys.disabled():
        print("", *said, sep="\n")
    slow = {name: _p99(seconds) for name, seconds in building.items() if _p99(seconds) > LONGEST_SECONDS}
    assert not slow


async def _until_all_compile(server: ServerProcess, builds: list[int]) -> None:
    """Return when both builds are at work; fail when one has ended."""

    async def all_compile() -> bool:
        logs = [await server.api("GET", f"/api/v1/deployments/{build}/logs", expect=200) for build in builds]
        assert {log["status"] for log in logs} <= {"pending", "building"}, logs
        return all("compiled" in (log["build_log"] or "") for log in logs)

    await server.until(all_compile, 120, "both builds compile")


async def _measured(server: ServerProcess, app: int, deployment: int) -> Taken:
    """Seconds of each answer, by endpoint; every client asks for all in turn, one after the other."""
    taken: Taken = defaultdict(list)
    headers = {"Authorization": f"Bearer {server.token}"}

    async def client() -> None:
        async with aiohttp.ClientSession(server.api_url, headers=headers) as session:
            for _ in range(ROUNDS):
                for method, path in BUSIEST:
                    body = {"key": "KEY", "value": "value"} if method == "POST" else None
                    began = time.perf_counter()
                    address = path.format(app=app, deployment=deployment)
                    async with session.request(method, address, json=body) as answer:
                        await answer.read()
                    taken[f"{method} {path.partition('?')[0]}"].append(time.perf_counter() - began)
                    assert answer.status == 200, path

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return taken


def _p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1]


def _described(name: str, at_rest: list[float], building: list[float]) -> str:
    rest, busy = [(statistics.median(one), _p99(one)) for one in (at_rest, building)]
    return (
        f"{name:41} {rest[0] * 1000:6.1f} {rest[1] * 1000:7.1f}   {busy[0] * 1000:6.1f} {busy[1] * 1000:7.1f}"
        f"   ratio {busy[0] / rest[0]:.1f} and {busy[1] / rest[1]:.1f}"
    )
