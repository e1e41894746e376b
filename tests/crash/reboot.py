"""A reboot of the whole machine, as far as it concerns us: every container ends, bridges and firewall rules are gone,
then the engine starts and after it the server. Each app must be back on its own host name, and never another's content.

    python -m tests.crash.reboot        with an engine of its own; tests/crash/test_reboot.py gives it its namespaces
"""

from __future__ import annotations

import asyncio
import sys
import time

from tests.git_server import GitServer
from tests.own_engine import OwnEngine, own_installation
from tests.patience import within
from tests.server_process import ServerProcess
from tests.tiny import tiny_app

APPS = 8
BACK_SECONDS = 90
SERVER_LATER_SECONDS = 2.0  # as units that start in order


class Machine:
    def __init__(self, server: ServerProcess, engine: OwnEngine, git: GitServer) -> None:
        self.server, self.engine, self.git = server, engine, git
        self.names = [f"app-{number}" for number in range(APPS)]
        self.stopped = "stopped"

    async def fill(self) -> None:
        async def live(name: str) -> int:
            url, _ = await self.git.publish(name, tiny_app(name))
            app, deployment = await self.server.create(url, name)
            await self.server.deployed(deployment)
            return app

        *_, last = await asyncio.gather(*(live(name) for name in (*self.names, self.stopped)))
        await self.server.api("POST", f"/api/v1/apps/{last}/stop", expect=200)

        async def is_away() -> bool:
            return (await self.server.visit(self.stopped))[0] == 404

        await self.server.until(is_away, 30, "the stopped app is away")

    async def shut_down(self) -> None:
        """In order: the server, then the engine, which ends its containers."""
        await self.server.stop()
        await self.engine.stop()
        await self._forget_network()

    async def pull_the_plug(self) -> None:
        """Everything ends at the same moment."""
        await asyncio.gather(self.server.kill(), self.engine.lose_power())
        await self._forget_network()

    async def _forget_network(self) -> None:
        """What the kernel holds does not survive."""
        for command in (
            "ip -brief link | sed -n 's/^\\(sk[^@ ]*\\).*/\\1/p' | xargs -r -n1 ip link delete",
            "for table in filter nat; do iptables -t $table -F; iptables -t $table -X; done",
        ):
            process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.DEVNULL)
            assert await process.wait() == 0, command

    async def boot(self) -> dict[str, float]:
        """Return after how many seconds, counted from the engine's start, each app answered again."""
        began = time.monotonic()
        watching = asyncio.gather(*(self._back(name, began) for name in self.names))
        await self.engine.start()
        await asyncio.sleep(SERVER_LATER_SECONDS)
        await self.server.start()
        seconds = await watching
        assert (await self.server.visit(self.stopped))[0] == 404, "who was stopped stays away"
        for app in await self.server.api("GET", "/api/apps", expect=200):
            expected = "stopped" if app["slug"] == self.stopped else "running"
            assert app["status"] == expected, app
        return dict(zip(self.names, seconds, strict=True))

    async def _back(self, name: str, began: float) -> float:
        async with within(BACK_SECONDS):
            while True:
                status, text = await self.server.visit(name)
                assert status != 200 or text == name, f"{name} was answered by {text}"
                if status == 200:
                    return time.monotonic() - began
                await asyncio.sleep(0.05)


async def main() -> None:
    async with own_installation() as (engine, git, server):
        machine = Machine(server, engine, git)
        await machine.fill()
        for how, fall in (("shut down", machine.shut_down), ("plug pulled", machine.pull_the_plug)):
            await fall()
            times = sorted((await machine.boot()).values())
            print(
                f"{how}: {APPS} apps back after {times[0]:.1f} s (first) to {times[-1]:.1f} s (last)",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
