"""An app on a server whose every phase can be held: by its git, its engine, its proxy, or a visitor who stays."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from stackyn_server.domain.deployments import Phase
from stackyn_server.source.clones import clone_of
from tests.engine.parts import processes_with
from tests.git_server import GitServer, Program
from tests.relay import EngineRelay
from tests.server_process import ServerProcess, docker, running
from tests.tiny import Tree, tiny_app

REACH_SECONDS = 60
LINGER_SECONDS = 600
_numbers = itertools.count(1)
ANSWERS_LATE = Program(f"#!/bin/busybox sh\n/bin/busybox sleep {LINGER_SECONDS}\n".encode())


def lingering(greeting: str) -> Tree:
    """An app with a page that nobody ever gets to the end of."""
    return {**tiny_app(greeting), "www/cgi-bin/linger": ANSWERS_LATE}


class SlowGit:
    """A `git` for the server's PATH which waits with the contents of files while it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._wait_file = folder / "wait"
        git = shutil.which("git")
        folder.mkdir()
        program = folder / "git"
        program.write_text(
            '#!/bin/sh\ncase " $* " in *" cat-file "*)\n'
            f'  while [ -e "{self._wait_file}" ]; do sleep 0.05; done ;;\nesac\nexec {git} "$@"\n'
        )
        program.chmod(0o755)
        folder.chmod(0o755)

    def wait(self) -> None:
        self._wait_file.touch()

    def go_on(self) -> None:
        self._wait_file.unlink()


@dataclass
class HoldableApp:
    """An app that answers `serves`, on a `HoldableServer`. `mark` is on the command line of what its newest deployment
    runs outside of its container."""

    server: ServerProcess
    git: GitServer
    relay: EngineRelay
    slow_git: SlowGit
    name: str
    id: int = 0
    serves: str = "first"
    mark: str = "nothing runs yet"

    async def go_live(self) -> None:
        url, _ = await self.git.publish(self.name, lingering(self.serves))
        self.id, deployment = await self.server.create(url, self.name)
        await self.server.deployed(deployment)

    async def redeploy(self, tree: Tree) -> int:
        await self.git.publish(self.name, tree)
        return await self.server.redeploy(self.id)

    async def replace(self, greeting: str) -> int:
        """Go live with something else while somebody still waits for the release before."""
        deployment = await self.redeploy(lingering(greeting))
        await self.server.deployed(deployment)
        self.serves = greeting
        return deployment

    async def reaches(self, deployment: int, phase: Phase) -> None:
        async def is_in() -> bool:
            view = await self.server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
            return bool(view["phase"] == phase.value)

        await self.server.until(is_in, REACH_SECONDS, f"it is {phase.value}")

    async def runs(self, mark: str) -> None:
        async def is_there() -> bool:
            return bool(await asyncio.to_thread(processes_with, mark))

        await self.server.until(is_there, REACH_SECONDS, f"{mark} is on a command line")

    def git_of(self, deployment: int) -> str:
        """What every git process has on its command line that works for the deployment."""
        return f"--git-dir={clone_of(self.server.data_dir / 'clones', deployment)}"

    @asynccontextmanager
    async def visitor_who_stays(self) -> AsyncIterator[None]:
        url = f"http://127.0.0.1:{self.server.ingress_port}/cgi-bin/linger"

        async def stay() -> None:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
                session.get(url, headers={"Host": f"{self.name}.localhost"}) as answer,
            ):
                await answer.read()

        visitor = asyncio.create_task(stay())
        try:
            await self._has_visitor()
            yield
        finally:
            visitor.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError):
                await visitor

    async def _has_visitor(self) -> None:
        mine = ("--filter", f"label=io.stackyn.installation={self.server.installation}")
        containers = (await docker("ps", "-q", *mine, "--filter", f"label=io.stackyn.app={self.id}")).split()

        async def waits() -> bool:
            return any([str(LINGER_SECONDS) in await docker("top", container) for container in containers])

        await self.server.until(waits, REACH_SECONDS, "the app works on a request without an end")


@dataclass
class HoldableServer:
    """A server on which each phase can be held, with one place for builds."""

    server: ServerProcess
    git: GitServer
    relay: EngineRelay
    slow_git: SlowGit

    def new_app(self) -> HoldableApp:
        name = f"held-{next(_numbers)}"
        return HoldableApp(self.server, self.git, self.relay, self.slow_git, name)


@asynccontextmanager
async def holdable_server(git: GitServer, **tables: Mapping[str, object]) -> AsyncIterator[HoldableServer]:
    with (
        tempfile.TemporaryDirectory(prefix="stackyn-holds-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        relay, slow_git = EngineRelay(Path(folder) / "engine.sock"), SlowGit(Path(folder) / "bin")
        patch.setenv("PATH", str(slow_git.folder), prepend=os.pathsep)  # the server's, which is started now
        await relay.open()
        try:
            async with running(
                engine={"socket": str(relay.path)}, builds={"concurrency": 1}, **tables
            ) as server:
                yield HoldableServer(server, git, relay, slow_git)
        finally:
            await relay.close()
