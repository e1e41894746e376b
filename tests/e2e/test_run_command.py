"""`scripts/run`, the first command of the README, on this machine: from a config.toml to a visited app, and again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.patience import within
from tests.server_process import REPOSITORY, ServerProcess, docker, free_port, remove_everything

FIRST_RUN_SECONDS = 240
SECOND_RUN_SECONDS = 60
STOP_SECONDS = 60
READY_WORDS = "Ctrl-C stops the server"

pytestmark = pytest.mark.timeout(FIRST_RUN_SECONDS + STOP_SECONDS)


@dataclass
class RunCommand:
    """One installation that is started by the command, with everything it printed so far."""

    server: ServerProcess
    demo_port: int = field(default_factory=free_port)
    output: str = ""
    process: asyncio.subprocess.Process | None = None

    async def start(self, *options: str, seconds: float) -> None:
        """Start the command and read what it prints until it says that Stackyn runs."""
        await self.begin(*options)
        async with within(seconds):
            while READY_WORDS not in self.output:
                assert await self._read(), f"it ended:\n{self.output}"

    async def begin(self, *options: str) -> None:
        self.output = ""
        self.process = await asyncio.create_subprocess_exec(
            *(REPOSITORY / "scripts/run", "--config", self.server.config, *options),
            *("--demo-port", str(self.demo_port)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def press_ctrl_c(self) -> int:
        """Interrupt the whole group of processes, as a terminal does, and return the exit code."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        return await self.end()

    async def end(self) -> int:
        assert self.process is not None
        async with within(STOP_SECONDS):
            while await self._read():
                pass
            return await self.process.wait()

    async def _read(self) -> bool:
        assert self.process is not None and self.process.stdout is not None
        line = await self.process.stdout.readline()
        self.output += line.decode()
        return bool(line)


@pytest.fixture
async def command() -> AsyncIterator[RunCommand]:
    with tempfile.TemporaryDirectory(prefix="stackyn-run-") as name:
        folder = Path(name)
        await asyncio.to_thread(folder.chmod, 0o711)  # the embedded database's user passes through
        # The shipped rules for repositories: the command itself has to open the door for its example.
        server = ServerProcess(folder, {"source": {"schemes": ["https"], "allowed_private": []}})
        server.data_dir.mkdir()
        server.log_file.symlink_to(server.data_dir / "server.log")
        run = RunCommand(server)
        try:
            yield run
        finally:
            if run.process is not None and run.process.returncode is None:
                await run.press_ctrl_c()
            await remove_everything(server)


async def containers(server: ServerProcess) -> list[str]:
    label = f"io.stackyn.installation={server.installation}"
    return sorted((await docker("ps", "-q", "--filter", f"label={label}")).split())


async def test_first_run_deploys_an_app_and_the_second_run_keeps_it(
    command: RunCommand,
) -> None:
    server = command.server
    await command.start(seconds=FIRST_RUN_SECONDS)

    assert "It answers: " in command.output
    assert f"Live at http://example.localhost:{server.ingress_port}" in command.output
    password = re.search(r"Password +(\S+) +shown this once", command.output)
    assert password, command.output
    kept = server.data_dir / "first-admin"
    assert kept.read_text().split() == ["admin@localhost", password[1]]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert (await server.visit("example"))[0] == 200
    serving = await containers(server)

    assert await command.press_ctrl_c() == 0
    assert "the apps go on serving" in command.output
    assert (await server.visit("example"))[0] == 200, "the app serves without the server"

    await command.start(seconds=SECOND_RUN_SECONDS)
    assert password[1] not in command.output, "the password is shown once"
    assert "its build" not in command.output, "nothing is built again"
    assert "It answers: " in command.output
    assert await containers(server) == serving
    assert await command.press_ctrl_c() == 0


async def test_run_without_the_example_deploys_nothing(
    command: RunCommand,
) -> None:
    server = command.server
    await command.start("--no-demo", seconds=FIRST_RUN_SECONDS)

    email, password = (server.data_dir / "first-admin").read_text().split()
    server.token = (await server.api("POST", "/api/auth/login", {"email": email, "password": password}))[
        "token"
    ]
    assert await server.api("GET", "/api/apps", expect=200) == []
    await server.api(
        "POST", "/api/v1/apps", {"name": "Inside", "repo_url": "http://127.0.0.1/x.git"}, expect=400
    )


async def test_wrong_settings_end_it_with_line_reason_and_code(command: RunCommand) -> None:
    command.server.config.write_text("[server]\nprot = 8080\n")
    await command.begin()

    assert await command.end() == 78
    assert "config.toml, line 2: server.prot: " in command.output


async def test_a_server_that_can_not_start_says_why(command: RunCommand) -> None:
    server = command.server
    taken = await asyncio.start_server(
        lambda reader, writer: None, "127.0.0.1", int(server.api_url.rpartition(":")[2])
    )
    async with taken:
        await command.begin("--no-demo")
        assert await command.end() == 1
    assert "The server did not start" in command.output
    assert "can't listen" in command.output
