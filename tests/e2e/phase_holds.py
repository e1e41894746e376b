"""What keeps a deployment in one phase for as long as a test needs: always something outside of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from stackyn_server.domain.deployments import Phase
from tests.commands import commanding_app
from tests.crash.audit import rows_of
from tests.e2e.scene import Scene
from tests.engine.parts import new_id
from tests.git_server import Mode
from tests.server_process import ServerProcess, docker, proxies
from tests.tiny import DOCKERFILE, Tree, tiny_app


def slow_build(mark: str) -> Tree:
    """Its build step can be found among the processes by `mark`, a number of seconds that never pass."""
    return tiny_app(dockerfile=DOCKERFILE + f'RUN ["/bin/busybox", "sleep", "{mark}"]\n')


Hold = Callable[[Scene], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def queued(scene: Scene) -> AsyncIterator[int]:
    """Another app's build has the only place."""
    mark = str(new_id())
    url, _ = await scene.git.publish(f"{scene.name}-before", slow_build(mark))
    earlier_app, _ = await scene.server.create(url, f"{scene.name} before")
    try:
        await scene.runs(mark)
        yield await scene.redeploy(tiny_app("bad"))
    finally:
        await scene.server.api("DELETE", f"/api/v1/apps/{earlier_app}", expect=200)


async def _waiting_for_git(scene: Scene, phase: Phase) -> int:
    deployment = await scene.redeploy(tiny_app("bad"))
    await scene.reaches(deployment, phase)
    scene.mark = scene.git_of(deployment)
    await scene.runs(scene.mark)
    return deployment


@asynccontextmanager
async def fetching(scene: Scene) -> AsyncIterator[int]:
    """The repository's server does not answer."""
    scene.git.modes[scene.name] = Mode.HANG
    try:
        yield await _waiting_for_git(scene, Phase.FETCHING)
    finally:
        scene.git.modes[scene.name] = Mode.SERVE


@asynccontextmanager
async def planning(scene: Scene) -> AsyncIterator[int]:
    """Reading the repository's files takes long."""
    scene.slow_git.wait()
    try:
        yield await _waiting_for_git(scene, Phase.PLANNING)
    finally:
        scene.slow_git.go_on()


@asynccontextmanager
async def building(scene: Scene) -> AsyncIterator[int]:
    scene.mark = str(new_id())
    deployment = await scene.redeploy(slow_build(scene.mark))
    await scene.runs(scene.mark)
    yield deployment


@asynccontextmanager
async def built(scene: Scene) -> AsyncIterator[int]:
    """Both addresses of the app are taken: by what serves, and by what somebody still waits for."""
    async with scene.visitor_who_stays():
        await scene.replace("second")
        deployment = await scene.redeploy(tiny_app("bad"))
        await scene.reaches(deployment, Phase.BUILT)
        yield deployment


@asynccontextmanager
async def releasing(scene: Scene) -> AsyncIterator[int]:
    """Its release command takes long."""
    scene.mark = str(new_id())
    deployment = await scene.redeploy(commanding_app("bad", f"sleep {scene.mark}"))
    await scene.runs(scene.mark)
    yield deployment


@asynccontextmanager
async def booting(scene: Scene) -> AsyncIterator[int]:
    """The engine takes its time to create the container, and does it after all when nobody wants it any more."""
    async with scene.door.keeping("/containers/create?name=stackyn-i"):  # not that of its build
        deployment = await scene.redeploy(tiny_app("bad"))
        await scene.reaches(deployment, Phase.BOOTING)
        yield deployment


@asynccontextmanager
async def probing(scene: Scene) -> AsyncIterator[int]:
    """The app runs and does not listen."""
    deployment = await scene.redeploy(tiny_app("bad", start="exec /bin/busybox sleep 600\n"))
    await scene.reaches(deployment, Phase.PROBING)
    yield deployment


@asynccontextmanager
async def switching(scene: Scene) -> AsyncIterator[int]:
    """The proxy answers nobody."""
    (proxy,) = await proxies(scene.server)
    await docker("pause", proxy)
    try:
        deployment = await scene.redeploy(tiny_app("bad"))
        await scene.reaches(deployment, Phase.SWITCHING)
        yield deployment
    finally:
        await docker("unpause", proxy)


@asynccontextmanager
async def draining(scene: Scene) -> AsyncIterator[int]:
    """It is live, and the release before has a request to finish."""
    async with scene.visitor_who_stays():
        yield await scene.replace("third")


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
