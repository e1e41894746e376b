"""What keeps a deployment in one phase for as long as a test needs: always something outside of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from stackyn_server.domain.deployments import Phase
from tests.commands import commanding_app
from tests.crash.audit import rows_of
from tests.e2e.holdable_app import HoldableApp
from tests.engine.parts import new_id
from tests.git_server import Mode
from tests.server_process import ServerProcess, docker, proxies
from tests.tiny import DOCKERFILE, Tree, tiny_app


def slow_build(mark: str) -> Tree:
    """Its build step can be found among the processes by `mark`, a number of seconds that never pass."""
    return tiny_app(dockerfile=DOCKERFILE + f'RUN ["/bin/busybox", "sleep", "{mark}"]\n')


Hold = Callable[[HoldableApp], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def queued(app: HoldableApp) -> AsyncIterator[int]:
    """Another app's build has the only place."""
    mark = str(new_id())
    url, _ = await app.git.publish(f"{app.name}-before", slow_build(mark))
    earlier_app, _ = await app.server.create(url, f"{app.name} before")
    try:
        await app.runs(mark)
        yield await app.redeploy(tiny_app("bad"))
    finally:
        await app.server.api("DELETE", f"/api/v1/apps/{earlier_app}", expect=200)


async def _waiting_for_git(app: HoldableApp, phase: Phase) -> int:
    deployment = await app.redeploy(tiny_app("bad"))
    await app.reaches(deployment, phase)
    app.mark = app.git_of(deployment)
    await app.runs(app.mark)
    return deployment


@asynccontextmanager
async def fetching(app: HoldableApp) -> AsyncIterator[int]:
    """The repository's server does not answer."""
    app.git.modes[app.name] = Mode.HANG
    try:
        yield await _waiting_for_git(app, Phase.FETCHING)
    finally:
        app.git.modes[app.name] = Mode.SERVE


@asynccontextmanager
async def planning(app: HoldableApp) -> AsyncIterator[int]:
    """Reading the repository's files takes long."""
    app.slow_git.wait()
    try:
        yield await _waiting_for_git(app, Phase.PLANNING)
    finally:
        app.slow_git.go_on()


@asynccontextmanager
async def building(app: HoldableApp) -> AsyncIterator[int]:
    app.mark = str(new_id())
    deployment = await app.redeploy(slow_build(app.mark))
    await app.runs(app.mark)
    yield deployment


@asynccontextmanager
async def built(app: HoldableApp) -> AsyncIterator[int]:
    """Both addresses of the app are taken: by what serves, and by what somebody still waits for."""
    async with app.visitor_who_stays():
        await app.replace("second")
        deployment = await app.redeploy(tiny_app("bad"))
        await app.reaches(deployment, Phase.BUILT)
        yield deployment


@asynccontextmanager
async def releasing(app: HoldableApp) -> AsyncIterator[int]:
    """Its release command takes long."""
    app.mark = str(new_id())
    deployment = await app.redeploy(commanding_app("bad", f"sleep {app.mark}"))
    await app.runs(app.mark)
    yield deployment


@asynccontextmanager
async def booting(app: HoldableApp) -> AsyncIterator[int]:
    """The engine takes its time to create the container, and does it after all when nobody wants it any more."""
    async with app.relay.holding_back("/containers/create?name=stackyn-i"):  # not that of its build
        deployment = await app.redeploy(tiny_app("bad"))
        await app.reaches(deployment, Phase.BOOTING)
        yield deployment


@asynccontextmanager
async def probing(app: HoldableApp) -> AsyncIterator[int]:
    """The app runs and does not listen."""
    deployment = await app.redeploy(tiny_app("bad", start="exec /bin/busybox sleep 600\n"))
    await app.reaches(deployment, Phase.PROBING)
    yield deployment


@asynccontextmanager
async def switching(app: HoldableApp) -> AsyncIterator[int]:
    """The proxy answers nobody."""
    (proxy,) = await proxies(app.server)
    await docker("pause", proxy)
    try:
        deployment = await app.redeploy(tiny_app("bad"))
        await app.reaches(deployment, Phase.SWITCHING)
        yield deployment
    finally:
        await docker("unpause", proxy)


@asynccontextmanager
async def draining(app: HoldableApp) -> AsyncIterator[int]:
    """It is live, and the release before has a request to finish."""
    async with app.visitor_who_stays():
        yield await app.replace("third")


async def is_draining(server: ServerProcess, app: int) -> bool:
    async with rows_of(server) as rows:
        return bool(
            await rows.fetchval("SELECT count(*) FROM instance WHERE app = $1 AND state = 'draining'", app)
        )


HOLDS: dict[str, Hold] = {
    hold.__name__: hold
    for hold in (
        queued,
        fetching,
        planning,
        building,
        built,
        releasing,
        booting,
        probing,
        switching,
        draining,
    )
}
