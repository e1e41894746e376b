"""Killed while an app falls asleep, wakes up or is rolled out in place: whoever comes after the restart is answered,
and nothing is left over.

Held requests need the server, so those that wait while it is killed fail; no others do. As with the other points, the
short tier kills at one after the other on the same way, the long tier at each by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Set
from contextlib import asynccontextmanager, suppress

import pytest

from stackyn_server.pipeline.crash_points import LAST_WORDS, VARIABLE
from tests.crash.audit import is_whole, until_idle
from tests.crash.points import HELD
from tests.git_server import GitServer
from tests.server_process import ServerProcess, containers_of, docker, running
from tests.tiny import Tree, tiny_app

KILLED = -9
DEATH_SECONDS = 60
POLL_SECONDS = 0.05
NO_SLEEP = {"STACKYN_APPS__IDLE_MINUTES": "0"}
NO_MEMORY_LEFT = {**NO_SLEEP, "STACKYN_APPS__MEMORY_RESERVE_MB": str(2**30)}
FALLING_ASLEEP = {"sleep.held", "sleep.stopping", "sleep.stopped"}
TURNING_BACK = {"sleep.aborted"}
WAKING_UP = {"wake.started", "wake.ready", "wake.serving"}
NOT_WAKING_UP = {"wake.failed"}
SWITCHING = {"switch.held", "switch.stopping", "switch.stopped", "switch.ready", "switch.live"}
RESTORING = {"switch.failed"}
ALL = (FALLING_ASLEEP, TURNING_BACK, WAKING_UP, NOT_WAKING_UP, SWITCHING, RESTORING)

pytestmark = pytest.mark.timeout(300)  # a dozen starts in one test, which take long on a loaded machine

GOOD, BAD = tiny_app("awake"), tiny_app("never", start="exit 1\n")


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    async with running(
        **{
            "plans.pro": {"always_on": False, "zero_downtime": False},
            "apps": {"idle_minutes": 1 / 60},
            "reconcile": {"idle_seconds": 0.3},
            "hold": {"refuse_seconds": 0.1},
        }
    ) as server:
        yield server


@pytest.fixture(scope="module")
async def git(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git:
        yield git


@pytest.fixture(scope="module")
async def app(server: ServerProcess, git: GitServer) -> int:
    """An app that answers `awake`."""
    app, _ = await server.deploy(git, "nap", GOOD, "nap")
    return app


def test_every_point_of_a_held_route_is_covered() -> None:
    assert set().union(*ALL) == set(HELD)


async def test_a_server_killed_during_sleep_and_wake_recovers(server: ServerProcess, app: int) -> None:
    await _falls_asleep(server, app, FALLING_ASLEEP)
    await _wakes_up(server, app, WAKING_UP)


async def test_app_survives_a_kill_while_its_sleep_is_cancelled(server: ServerProcess, app: int) -> None:
    await _turns_back(server, app)


async def test_rollout_in_place_survives_a_kill_at_each_point(
    server: ServerProcess, git: GitServer, app: int
) -> None:
    await _switches(server, git, app, GOOD, SWITCHING)


async def test_failed_rollout_in_place_survives_a_kill(
    server: ServerProcess, git: GitServer, app: int
) -> None:
    await _switches(server, git, app, BAD, RESTORING)


@pytest.mark.full
@pytest.mark.parametrize("point", sorted(FALLING_ASLEEP | WAKING_UP | SWITCHING))
async def test_app_survives_a_kill_at_a_single_point(
    server: ServerProcess, git: GitServer, app: int, point: str
) -> None:
    if point in SWITCHING:
        await _switches(server, git, app, GOOD, {point})
    else:
        await _falls_asleep(server, app, FALLING_ASLEEP & {point})
        await _wakes_up(server, app, WAKING_UP & {point})


async def test_kill_after_a_failed_wake_leaves_nothing(server: ServerProcess, app: int) -> None:
    """The last one: the app's image is gone after it."""
    await _falls_asleep(server, app, set())
    release = (await server.api("GET", f"/api/v1/apps/{app}/releases", expect=200))[0]
    await docker("rmi", "-f", release["image"])
    async with _visited(server):
        await _killed_at_each(server, NOT_WAKING_UP, {})
    assert (await server.visit("nap"))[0] == 503
    await until_idle(server)
    assert await containers_of(server, app) == []


async def _falls_asleep(server: ServerProcess, app: int, points: Set[str]) -> None:
    await _awake(server, app)
    await _killed_at_each(server, points, {})
    await server.until(lambda: _is_asleep(server, app), 30, "the app sleeps")


async def _wakes_up(server: ServerProcess, app: int, points: Set[str]) -> None:
    async with _visited(server):
        await _killed_at_each(server, points, {})
    assert await server.visit("nap") == (200, "awake")
    await _is_well(server)


async def _turns_back(server: ServerProcess, app: int) -> None:
    await _awake(server, app)
    async with _visited(server, when=lambda: _is_held(server, app)):
        await _killed_at_each(server, TURNING_BACK, {})
    assert await server.visit("nap") == (200, "awake")
    await _is_well(server)


async def _switches(server: ServerProcess, git: GitServer, app: int, tree: Tree, points: Set[str]) -> None:
    await _awake(server, app, NO_SLEEP)
    await git.publish("nap", tree)
    await server.stop()
    await _start(server, points, NO_MEMORY_LEFT)
    again = await server.redeploy(app)
    await _killed_at_each(server, points, NO_MEMORY_LEFT, is_started=True)
    assert await server.visit("nap") == (200, "awake")
    deployment = await server.deployed(again, "failed" if tree is BAD else "running")
    if tree is BAD:
        assert deployment["failure"]["message"] == "The app exited with code 1 instead of staying up."
    assert await server.visit("nap") == (200, "awake")
    await _is_well(server)


async def _killed_at_each(
    server: ServerProcess, points: Set[str], environment: Mapping[str, str], *, is_started: bool = False
) -> None:
    """Kill at whichever point is passed first, start again, and so on until none of them is left."""
    left = set(points)
    if not is_started:
        await server.stop()
        await _start(server, left, environment)
    while left:
        code = await server.died(seconds=DEATH_SECONDS)
        assert code == KILLED, f"it ended with {code}\n{server.last_log()}"
        last = server.log_file.read_text().splitlines()[-1]
        left.remove(last.removeprefix(LAST_WORDS))
        await _start(server, left, environment)


async def _start(server: ServerProcess, points: Set[str], environment: Mapping[str, str]) -> None:
    """Where another kill is to come, it may not even come to answer."""
    server.environment = {**environment, **({VARIABLE: ",".join(sorted(points))} if points else {})}
    is_recovering = server.process is not None and server.process.returncode == KILLED
    await server.start(wait=not (points and is_recovering))


async def _is_well(server: ServerProcess) -> None:
    """Everybody agrees, with nobody asleep."""
    await server.stop()
    await _start(server, set(), NO_SLEEP)
    await server.visit("nap")
    await until_idle(server)
    await is_whole(server)


@asynccontextmanager
async def _visited(
    server: ServerProcess, when: Callable[[], Awaitable[bool]] | None = None
) -> AsyncIterator[None]:
    """Visit all the time, or as soon as something is so, without caring for the answer."""

    async def visit() -> None:
        while when is not None:
            with suppress(OSError, TimeoutError):  # the API may be away
                if await when():
                    break
            await asyncio.sleep(POLL_SECONDS)
        while True:
            await server.visit("nap")
            await asyncio.sleep(POLL_SECONDS)

    visitor = asyncio.create_task(visit())
    try:
        yield
    finally:
        visitor.cancel()
        await asyncio.wait((visitor,))


async def _awake(server: ServerProcess, app: int, environment: Mapping[str, str] | None = None) -> None:
    """Have the server run with this environment alone, and the app awake."""
    if server.environment != (environment or {}):
        await server.stop()
        await _start(server, set(), environment or {})

    async def is_awake() -> bool:
        await server.visit("nap")
        return await _phase(server, app) == "live"

    await server.until(is_awake, 30, "the app is awake")


async def _is_held(server: ServerProcess, app: int) -> bool:
    return await _phase(server, app) == "sleeping"


async def _is_asleep(server: ServerProcess, app: int) -> bool:
    return await _is_held(server, app) and not await containers_of(server, app)


async def _phase(server: ServerProcess, app: int) -> str:
    return str((await server.api("GET", f"/api/v1/apps/{app}", expect=200))["phase"])
