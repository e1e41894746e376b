"""What the API's clients and the visitors of a neighbour's app notice of hostile builds, which never end by themselves
and stay below the limits that would end them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.api.answers import UNLIMITED, Measured, Served, described, measured, p99
from tests.bench.machine import machine
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running
from tests.tiny import tiny_app

CLIENTS, ROUNDS = 2, 60
LONGEST_SECONDS = 1.0  # of 99 in 100 answers; clients give up after ten times that

# In pairs, as many as build at once. Each says first that it is at work.
HOSTILE = {
    "busy loops": "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait",
    "fork bomb": "bomb() { bomb | bomb & }; bomb & exec sleep 600",
    "memory bombs": "while :; do dd if=/dev/zero of=/dev/null bs=3000M count=1 || :; done",
    "endless output": "yes something-to-read-for-whoever-follows",
    "large files": "while :; do dd if=/dev/zero of=/big bs=1M count=2000; rm /big; done",
    "many files": "while :; do mkdir /many; (cd /many && seq 50000 | xargs touch); rm -r /many; done",
}
AT_WORK = "at work: 42"


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_api_and_neighbour_answer_while_hostile_builds_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [await machine(), f"{CLIENTS} clients and a visitor; p50 and p99 in ms, at rest and meanwhile:"]
    during: dict[str, Measured] = {}
    async with (
        GitServer(tmp_path) as git,
        running(builds={"concurrency": 2}, rates=UNLIMITED) as server,
    ):
        app, deployment = await server.deploy(git, "served", tiny_app(), "Served")
        served = Served(server, "served", app, deployment)
        at_rest = await measured(served, CLIENTS, ROUNDS)
        names = list(HOSTILE)
        for pair in zip(names[::2], names[1::2], strict=True):
            builds = [await _attack(server, git, name) for name in pair]
            await _until_at_work(server, builds)
            during[" and ".join(pair)] = await measured(served, CLIENTS, ROUNDS)
            await _logs(server, builds)
            for build in builds:
                await server.api("POST", f"/api/v1/deployments/{build}/cancel", expect=200)
    for pair_name, taken in during.items():
        lines.append(described(f"API, {pair_name}", at_rest.all_of_api, taken.all_of_api))
        lines.append(described(f"neighbour, {pair_name}", at_rest.app, taken.app))
    with capsys.disabled():
        print("", *lines, sep="\n")
    for pair_name, taken in during.items():
        assert p99(taken.all_of_api) < LONGEST_SECONDS, pair_name
        assert p99(taken.app) < LONGEST_SECONDS, pair_name


async def _attack(server: ServerProcess, git: GitServer, name: str) -> int:
    dockerfile = f"FROM stackyn/python:3.11\nRUN echo at work: $((6 * 7)); {HOSTILE[name]}\n"
    url, _ = await git.publish(name.replace(" ", "-"), {"Dockerfile": dockerfile})
    _, deployment = await server.create(url, name.capitalize())
    return deployment


async def _until_at_work(server: ServerProcess, builds: list[int]) -> None:
    async def all_work() -> bool:
        return all(AT_WORK in log for log in await _logs(server, builds))

    await server.until(all_work, 60, "the builds are at work")


async def _logs(server: ServerProcess, builds: list[int]) -> list[str]:
    """Return what the builds have said; fail when one has ended."""
    logs = [await server.api("GET", f"/api/v1/deployments/{build}/logs", expect=200) for build in builds]
    assert {log["status"] for log in logs} <= {"pending", "building"}, logs
    return [log["build_log"] or "" for log in logs]
