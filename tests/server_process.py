"""The real server as a child process with a data directory, ports, networks and git server of its own.

Everything that end-to-end and crash tests need: start it, kill it, speak to its API as a tenant, and to its apps
through the real ingress as a visitor.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import sys
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import aiohttp

from stackyn_server import config
from stackyn_server.engine.client import Engine
from tests.clean_up import clean_up
from tests.git_server import GitServer
from tests.patience import patient, within
from tests.tiny import Tree

REPOSITORY = Path(__file__).parent.parent
START_SECONDS = 30
STOP_SECONDS = 45
LINE_LENGTH = 500  # of the log, shown when a test fails; a traceback's end says more than its middle
PASSWORD = "correct horse battery"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def unique_subnets() -> tuple[str, str]:
    """Return an app and a build subnet of which this machine uses no address yet."""
    used = list(_networks_in_use())

    def unused(second: int, prefix_length: int) -> IPv4Network:
        address = IPv4Address(f"10.{second + secrets.randbelow(60)}.{secrets.randbelow(256)}.0")
        network = IPv4Network((address, prefix_length), strict=False)
        return unused(second, prefix_length) if any(map(network.overlaps, used)) else network

    return str(unused(128, 18)), str(unused(192, 20))


def _networks_in_use() -> Iterator[IPv4Network]:
    """Read the kernel's routes, apart from the default one (proc(5): addresses are hexadecimal, low byte first)."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        _, network, _, _, _, _, _, mask, *_ = line.split()
        if int(mask, 16):
            address, bits = (int.from_bytes(bytes.fromhex(value), "little") for value in (network, mask))
            yield IPv4Network((address, bits.bit_count()))


def configuration(data_dir: Path, **tables: Mapping[str, object]) -> str:
    """Return a config.toml for a server of its own, quick to retry; `tables` add to it or change it."""
    subnet, build_subnet = unique_subnets()
    chosen: dict[str, dict[str, object]] = {
        "server": {"data_dir": str(data_dir), "port": free_port(), "drain_seconds": 5, "log_level": "info"},
        "public": {"base_domain": "localhost"},
        "network": {"subnet": subnet, "build_subnet": build_subnet, "quarantine_seconds": 1},
        "ingress": {"http_port": free_port(), "metrics_port": free_port()},
        "hold": {"port": free_port()},
        "frontend": {"port": free_port()},
        "source": {"schemes": ["http", "https"], "allowed_private": ["127.0.0.0/8"]},
        "apps": {
            "drain_seconds": 3,
            "stop_grace_seconds": 1,
            "default_memory_mb": 64,
            "default_disk_mb": 64,
            "restart_limit": 3,
            "keep_releases": 2,
        },
        "probe": {"steady_seconds": 0.3, "known_steady_seconds": 0.1, "other_port_seconds": 1},
        "deadlines": {"probing": 20},
        "retries": {"first_seconds": 0.2, "attempts": 4},
        "reconcile": {
            "period_seconds": 1,
            "garbage_seconds": 2,
            "steady_seconds": 2,  # longer than the life of an app that ends after a second
        },
        "samples": {"period_seconds": 2, "disk_seconds": 2},
        "health": {"interval_seconds": 0.5, "failures": 4, "successes": 1},
        "plans.pro": {
            "display_name": "Pro",
            "price": 4900,
            "max_ram_mb": 100_000,
            "max_disk_mb": 1_000_000,
            "max_apps": 1000,
            "always_on": True,
            "health_checks": True,
            "logs": True,
            "zero_downtime": True,
        },
        "plans.free": {
            "display_name": "Free",
            "price": 0,
            "max_ram_mb": 256,
            "max_disk_mb": 1024,
            "max_apps": 1,
        },
    }
    for name, table in tables.items():
        chosen.setdefault(name, {}).update(table)
    lines: list[str] = []
    for name, table in chosen.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items()), ""]
    return "\n".join(lines)


def _toml(value: object) -> str:
    return json.dumps(value)


@dataclass(slots=True)
class ServerProcess:
    """One installation. `environment` is added to the child's (crash points)."""

    folder: Path
    tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    token: str = ""
    _config: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def config(self) -> Path:
        if self._config is None:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._config = self.folder / "config.toml"
            self._config.write_text(configuration(self.data_dir, **self.tables))
            self.settings = tomllib.loads(self._config.read_text())
        return self._config

    @property
    def api_url(self) -> str:
        assert self.config
        return f"http://127.0.0.1:{self.settings['server']['port']}"

    @property
    def installation(self) -> str:
        """Its id, as the server logs it at its start."""
        match = re.search(r'"installation": "([0-9a-f-]{36})"', self.log_file.read_text())
        assert match, f"the server never started:\n{self.last_log()}"
        return match[1]

    @property
    def ingress_port(self) -> int:
        assert self.config
        return int(self.settings["ingress"]["http_port"])

    async def start(self, *, wait: bool = True) -> None:
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "stackyn_server",
                "serve",
                "--config",
                str(self.config),
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env={**os.environ, **self.environment},
            )
        if wait:
            await self.until(self.answers, START_SECONDS, "the server answers")

    async def answers(self) -> bool:
        assert self.process is not None
        if self.process.returncode is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.last_log()}")
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.api_url}/health") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with within(STOP_SECONDS):
            return await self.process.wait()

    async def kill(self) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def died(self, seconds: float = 60) -> int:
        """Wait until it has ended by itself (a crash point) and return the code."""
        assert self.process is not None
        async with within(seconds):
            return await self.process.wait()

    def last_log(self, lines: int = 60) -> str:
        read = self.log_file.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(
            line if len(line) < LINE_LENGTH else f"{line[:LINE_LENGTH]} … {line[-LINE_LENGTH:]}"
            for line in read
        )

    async def command(self, *arguments: str) -> str:
        """Run the `stackyn` command on this installation and return what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "stackyn_server",
            *arguments,
            "--config",
            str(self.config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def sign_in(self) -> None:
        """Make the first admin by command line and log in through the API."""
        password_file = self.folder / "password"
        password_file.write_text(PASSWORD)
        email = "admin@localhost.test"
        await self.command("admin", "create", "--email", email, "--password-file", str(password_file))
        answer = await self.api("POST", "/api/auth/login", {"email": email, "password": PASSWORD}, expect=200)
        self.token = answer["token"]

    async def api(self, method: str, path: str, body: object = None, *, expect: int | None = None) -> Any:
        """Call the API as the signed-in tenant; returns the JSON (None when there is none)."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        timeout = aiohttp.ClientTimeout(total=patient(15))
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self.api_url + path, json=body, headers=headers) as answer,
        ):
            text = await answer.text()
            assert expect is None or answer.status == expect, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text else None

    async def create(self, url: str, name: str = "Demo", **values: object) -> tuple[int, int]:
        """Create an app and return its id and its first deployment's."""
        created = await self.api(
            "POST", "/api/v1/apps", {"name": name, "repo_url": url, **values}, expect=201
        )
        return int(created["app"]["id"]), created["deployment"]["id"]

    async def deploy(
        self, git: GitServer, repository: str, files: Tree | Path, name: str, **values: object
    ) -> tuple[int, int]:
        """Publish a repository, create an app of it, wait until it runs, and return both ids."""
        url, _ = await git.publish(repository, files)
        app, deployment = await self.create(url, name, **values)
        await self.deployed(deployment)
        return app, deployment

    async def redeploy(self, app: int) -> int:
        """Build the app's branch again, and return the deployment's id."""
        asked = await self.api("POST", f"/api/v1/apps/{app}/redeploy", expect=201)
        return int(asked["deployment"]["id"])

    async def build_log(self, deployment: int) -> str:
        logs = await self.api("GET", f"/api/v1/deployments/{deployment}/logs", expect=200)
        return str(logs["build_log"])

    async def deployed(self, deployment: int, status: str = "running", seconds: float = 90) -> dict[str, Any]:
        """Wait until the deployment has ended and check how."""
        view: dict[str, Any] = {}

        async def ended() -> bool:
            nonlocal view
            view = await self.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
            return view["status"] not in ("pending", "building")

        await self.until(ended, seconds, f"deployment {deployment} ends")
        assert view["status"] == status, f"{view}\n{self.last_log()}"
        return view

    async def until_kept_up(self, app: int) -> None:
        """Wait until the engine would bring the app's container back: a first deployment is watched before."""

        async def is_kept_up() -> bool:
            policy = "{{.HostConfig.RestartPolicy.Name}}"
            policies = [
                await docker("inspect", "-f", policy, container)
                for container in await containers_of(self, app)
            ]
            return [name.strip() for name in policies] == ["unless-stopped"]

        await self.until(is_kept_up, 20, f"app {app} has shown that it stays")

    async def visit(self, slug: str, path: str = "/", accept: str = "*/*") -> tuple[int, str]:
        """Ask the ingress for an app's page, as a visitor would; (0, reason) when nobody answers."""
        url = f"http://127.0.0.1:{self.ingress_port}{path}"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=patient(10))) as session,
                session.get(url, headers={"Host": f"{slug}.localhost", "Accept": accept}) as answer,
            ):
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, repr(error)

    async def until(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        """Wait until the awaited condition is true."""
        deadline = time.monotonic() + patient(seconds)
        while not await condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.last_log()}"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running(**tables: Mapping[str, object]) -> AsyncIterator[ServerProcess]:
    """A signed-in server, taken down with all that it made."""
    with _folder_to_pass_through() as folder:
        server = ServerProcess(folder, tables)
        try:
            await server.start()
            await server.sign_in()
            yield server
        finally:
            if server.process is not None and server.process.returncode is None:
                await server.stop()
            await remove_everything(server)


@contextmanager
def _folder_to_pass_through() -> Iterator[Path]:
    """A temporary folder below which the embedded database's user reaches its own."""
    with tempfile.TemporaryDirectory(prefix="stackyn-server-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


async def remove_everything(server: ServerProcess) -> None:
    """Leave nothing of this installation on this machine."""
    if not server.log_file.exists() or "server.started" not in server.log_file.read_text():
        return  # it never had an installation
    async with Engine(
        config.EngineSettings(socket=engine_socket()), config.NetworkSettings(), server.installation
    ) as engine:
        await clean_up(engine)


def engine_socket() -> Path:
    """The engine that the `docker` command of this test speaks to."""
    return Path(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))


async def docker(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "docker", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    return out.decode()


async def proxies(server: ServerProcess) -> list[str]:
    """The running containers of the installation's ingress: one, two while one replaces the other."""
    mine = f"label=io.stackyn.installation={server.installation}"
    return (await docker("ps", "-q", "--filter", mine, "--filter", "label=io.stackyn.role=ingress")).split()


async def containers_of(server: ServerProcess, app: int) -> list[str]:
    """All containers of an app, stopped ones too."""
    mine = f"label=io.stackyn.installation={server.installation}"
    return (await docker("ps", "-aq", "--filter", mine, "--filter", f"label=io.stackyn.app={app}")).split()


async def images_of(server: ServerProcess, app: int) -> list[str]:
    """All images that were built for an app."""
    mine = f"label=io.stackyn.image.installation={server.installation}"
    return (
        await docker("images", "-q", "--filter", mine, "--filter", f"label=io.stackyn.image.app={app}")
    ).split()
