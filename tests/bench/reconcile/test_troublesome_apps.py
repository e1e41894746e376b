"""Fifty apps crash in a loop, one has two million files, and a log hangs: what the others notice of it in their samples
and disk limits, in the API's answers and in the leader's heartbeat."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.bench.api.answers import UNLIMITED, Served, described, measured, p99
from tests.bench.machine import machine
from tests.crash.audit import rows_of
from tests.e2e.test_watch import AS_ROOT, cgi, until_status
from tests.git_server import GitServer
from tests.relay import EngineRelay
from tests.server_process import ServerProcess, containers_of, docker, running
from tests.tiny import SERVE, tiny_app

CRASHING, FOLDERS, FILES_EACH = 50, 2000, 1000
CLIENTS, ROUNDS = 2, 200
SAMPLE_SECONDS, DISK_SECONDS, HEARTBEAT_SECONDS = 5, 10, 5
API_SECONDS = 0.1  # of 99 in 100 answers
GRACE_SECONDS = 3  # for a round of measuring itself

MANY_FILES = f"""\
for folder in $(/bin/busybox seq {FOLDERS}); do
  /bin/busybox mkdir -p /many/$folder && cd /many/$folder
  /bin/busybox seq {FILES_EACH} | /bin/busybox xargs -n {FILES_EACH} /bin/busybox touch
done
"""
LOOP = f"if [ -e /broken ]; then /bin/busybox sleep 1; exit 1; fi\n{SERVE}"
FILL = "/bin/busybox dd if=/dev/zero of=/big bs=1M count=40"


@dataclass(slots=True)
class Longest:
    """The longest age in seconds that was seen of the served app's sample, and of the leader's heartbeat."""

    sample: float = 0.0
    heartbeat: float = 0.0


@asynccontextmanager
async def ages(server: ServerProcess, app: int) -> AsyncIterator[Longest]:
    longest = Longest()

    async def watch() -> None:
        async with rows_of(server) as rows:
            while True:
                sample = await rows.fetchval(
                    "SELECT extract(epoch FROM now() - max(taken_at)) FROM sample WHERE app = $1", app
                )
                beat = await rows.fetchval(
                    "SELECT extract(epoch FROM now() - heartbeat_at) FROM installation"
                )
                longest.sample = max(longest.sample, float(sample))
                longest.heartbeat = max(longest.heartbeat, float(beat))
                await asyncio.sleep(0.25)

    watching = asyncio.create_task(watch(), name="ages")
    try:
        yield longest
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def deploy(
    server: ServerProcess, git: GitServer, name: str, app_files: object, **values: object
) -> int:
    url, _ = await git.publish(name, app_files)  # type: ignore[arg-type]
    app, deployment = await server.create(url, name, **values)
    await server.deployed(deployment, seconds=600)
    return app


@asynccontextmanager
async def hung_log(server: ServerProcess, relay: EngineRelay, app: int) -> AsyncIterator[None]:
    """Follow a log of which the engine sends nothing, not even its beginning."""

    async def follow() -> None:
        headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/event-stream"}
        async with (
            aiohttp.ClientSession(server.api_url, headers=headers) as session,
            session.get(f"/api/v1/apps/{app}/logs/runtime/stream") as answer,
        ):
            await answer.read()

    async with relay.holding_back("/logs"):
        following = asyncio.create_task(follow(), name="follower")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


@pytest.mark.full
@pytest.mark.timeout(2400)
async def test_troublesome_apps_leave_the_others_on_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [await machine()]
    relay = EngineRelay(tmp_path / "engine.sock")
    await relay.open()
    async with (
        GitServer(tmp_path / "git") as git,
        running(
            engine={"socket": str(relay.path)},
            rates=UNLIMITED,
            apps={"restart_limit": 100_000},
            **{"plans.pro": {"health_checks": False}},  # else this server restarts them, not the engine
            builds={"concurrency": 2},
            samples={"period_seconds": SAMPLE_SECONDS, "disk_seconds": DISK_SECONDS},
            jobs={"heartbeat_seconds": HEARTBEAT_SECONDS},
        ) as server,
    ):
        url, _ = await git.publish("served", tiny_app())
        app, deployment = await server.create(url, "Served")
        await server.deployed(deployment)
        served = Served(server, "served", app, deployment)
        full = await deploy(
            server, git, "full", {**tiny_app(dockerfile=AS_ROOT), "www/cgi-bin/fill": cgi(FILL)}, disk_mb=16
        )
        many = await deploy(server, git, "many", tiny_app(dockerfile=AS_ROOT), cpu=1)
        breaking = {**tiny_app(start=LOOP, dockerfile=AS_ROOT), "www/cgi-bin/break": cgi("> /broken; kill 1")}
        crashing = await asyncio.gather(
            *(deploy(server, git, f"crash-{number}", breaking) for number in range(CRASHING))
        )
        await server.until_kept_up(crashing[-1])
        at_rest = await measured(served, CLIENTS, ROUNDS)
        [container] = await containers_of(server, many)
        began = time.monotonic()
        await docker("exec", container, "/bin/busybox", "sh", "-c", MANY_FILES)
        lines.append(f"{FOLDERS * FILES_EACH:,} files were made in {time.monotonic() - began:.0f} s")
        for number in range(CRASHING):
            await server.visit(f"crash-{number}", "/cgi-bin/break")
        async with ages(server, app) as longest, hung_log(server, relay, many):
            measuring = asyncio.create_task(measured(served, CLIENTS, ROUNDS), name="clients")
            await server.visit("full", "/cgi-bin/fill")
            began = time.monotonic()
            await until_status(server, full, "stopped", seconds=120)
            stopped_after = time.monotonic() - began
            busy = await measuring
            await asyncio.sleep(2 * HEARTBEAT_SECONDS)  # the ages are watched for some rounds at least
        async with rows_of(server) as rows:
            crashes = await rows.fetchval("SELECT count(*) FROM event WHERE name = 'app.crashed'")
    await relay.close()
    lines += [
        f"{CRASHING} apps crashed {crashes} times; p50 and p99 in ms, at rest and with all of them:",
        described("API", at_rest.all_of_api, busy.all_of_api),
        described("the app itself", at_rest.app, busy.app),
        f"oldest sample {longest.sample:.1f} s (period {SAMPLE_SECONDS} s), oldest heartbeat "
        f"{longest.heartbeat:.1f} s (period {HEARTBEAT_SECONDS} s), full app stopped after {stopped_after:.1f} s "
        f"(period {DISK_SECONDS} s)",
    ]
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert longest.sample < 2 * SAMPLE_SECONDS + GRACE_SECONDS
    assert longest.heartbeat < 2 * HEARTBEAT_SECONDS
    assert stopped_after < DISK_SECONDS + SAMPLE_SECONDS + GRACE_SECONDS
    assert p99(busy.all_of_api) < API_SECONDS
