"""From the start of a killed server until its API answers and what it was doing is going on."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from tests.crash.audit import rows_of
from tests.git_server import GitServer
from tests.server_process import running
from tests.tiny import DOCKERFILE, tiny_app

KILLS = 5
BUILDS = 2
GOAL_SECONDS, LONGEST_SECONDS = 3.0, 15.0


@pytest.mark.full
async def test_from_a_kill_to_work_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers, runs = [], []
    async with GitServer(tmp_path / "git") as git, running(builds={"concurrency": BUILDS}) as server:
        for number in range(BUILDS):
            tree = tiny_app(dockerfile=DOCKERFILE + f'RUN ["/bin/busybox", "sleep", "60{number}"]\n')
            url, _ = await git.publish(f"slow-{number}", tree)
            await server.create(url, f"Slow {number}")

        async def all_run() -> bool:
            async with rows_of(server) as rows:
                running_now = await rows.fetchval(
                    "SELECT count(*) FROM job JOIN installation ON job.epoch = installation.epoch"
                    " JOIN deployment ON deployment.id::text = job.subject AND deployment.phase = 'building'"
                    " WHERE job.kind = 'build' AND job.state = 'running'"
                )
            return bool(running_now == BUILDS)

        await server.until(all_run, 60, "the builds run")
        for _ in range(KILLS):
            await server.kill()
            began = time.monotonic()
            await server.start()
            answers.append(time.monotonic() - began)
            await server.until(all_run, 60, "they run again")
            runs.append(time.monotonic() - began)
    with capsys.disabled():
        print(
            f"\nStart after SIGKILL: API answers after {statistics.median(answers):.2f} s, interrupted deployments run "
            f"again after {statistics.median(runs):.2f} s (medians of {KILLS}; goal {GOAL_SECONDS:.0f} s)"
        )
    assert statistics.median(runs) < LONGEST_SECONDS
