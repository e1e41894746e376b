"""What the engine's tests are made of: contexts, ids that no other session uses, commands inside containers."""

from __future__ import annotations

import asyncio
import io
import random
import shutil
import tarfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path

from stackyn_server import config
from stackyn_server.domain.seats import Bridge, address_of, bridge_of
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.container_state import ContainerState
from tests.engine.own_host import OwnHost
from tests.patience import within

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
RANDOM = random.SystemRandom()
_APPLETS = (
    *(
        "sh",
        "cat",
        "date",
        "dd",
        "echo",
        "env",
        "false",
        "head",
        "httpd",
        "id",
        "kill",
        "ls",
        "mkdir",
        "nc",
        "ps",
    ),
    *("seq", "sleep", "tail", "touch", "true", "usleep", "wget", "yes"),
)


def busybox_files() -> dict[str, bytes | str]:
    """Path → content, or the target of a symbolic link."""
    files: dict[str, bytes | str] = {"bin/busybox": Path(BUSYBOX).read_bytes()}
    for applet in _APPLETS:
        files[f"bin/{applet}"] = "/bin/busybox"
    files["etc/passwd"] = b"root:x:0:0::/:/bin/sh\n"
    files["etc/session"] = (
        uuid.uuid4().bytes
    )  # makes its layer, and what is built upon it, this session's own
    return files


def tar(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.mode = 0o755
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


async def imported(engine: Engine, layer: bytes, *changes: str) -> str:
    """Give the engine an image of one layer (a tar), `changes` in the words of a Dockerfile; returns its id."""

    async def content() -> AsyncIterator[bytes]:
        yield layer

    parameters = [("fromSrc", "-"), *(("changes", change) for change in changes)]
    async with engine.stream("POST", "images/create", params=parameters, upload=content()) as stream:
        answers = [record async for record in stream.json_lines()]
    assert not any("error" in answer for answer in answers), answers
    return str(answers[-1]["status"])


def new_id() -> int:
    """Ids that no other session uses on this engine."""
    return RANDOM.randrange(10**12, 10**15)


async def run_inside(engine: Engine, container: str, *command: str) -> tuple[int, str]:
    """Run a command in a container of the tests; returns exit code and output."""
    created = await engine.request(
        "POST",
        f"containers/{container}/exec",
        body={"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, "Tty": True},
    )
    text = b""
    url = f"{engine.docker.docker_host}/{engine.docker.api_version}/exec/{created['Id']}/start"
    async with engine.docker.session.post(url, json={"Detach": False, "Tty": True}) as answer:
        text = await answer.read()
    ended = await engine.request("GET", f"exec/{created['Id']}/json")
    return int(ended["ExitCode"]), text.decode("utf-8", "replace")


async def reaches(engine: Engine, container: str, host: OwnHost, place: object) -> bool:
    return host.word in await asked(engine, container, place)


async def is_open(engine: Engine, container: str, host: OwnHost, place: object) -> bool:
    """Whether it is reached by one of a few tries: on a busy machine a first answer may come after nc has given up."""
    for _ in range(5):
        if await reaches(engine, container, host, place):
            return True
    return False


async def asked(engine: Engine, container: str, place: object) -> str:
    """What an address and port (80 when none is named) answers, or why it doesn't. busybox's wget, being static,
    crashes in the C library's resolver."""
    address, _, port = str(place).partition(":")
    script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} {port or 80}"
    _, text = await run_inside(engine, container, "sh", "-c", script)
    return text


def processes_with(argument: str) -> list[int]:
    """Return the processes of this machine that have `argument` on their command line."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in words:
            pids.append(int(folder.name))
    return pids


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until `condition`, asked in a thread, is true. Raises TimeoutError."""
    async with within(seconds):
        async for _ in _looks():
            if await asyncio.to_thread(condition):
                return


async def eventually(ask: Callable[[], Awaitable[object]], expected: object, seconds: float = 10) -> None:
    """Wait until the answer equals `expected`, or contains it where both are text. Raises TimeoutError."""
    async with within(seconds):
        async for _ in _looks():
            answer = await ask()
            if answer == expected or (
                isinstance(answer, str) and isinstance(expected, str) and expected in answer
            ):
                return


async def _looks() -> AsyncIterator[None]:
    while True:
        yield
        await asyncio.sleep(0.02)


async def answers(address: IPv4Address, port: int) -> bool:
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(str(address), port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def until_answers(address: IPv4Address, port: int, seconds: float = 10) -> None:
    """Wait until somebody accepts connections there. Raises TimeoutError."""
    async with within(seconds):
        async for _ in _looks():
            if await answers(address, port):
                return


def containers_place(network: config.NetworkSettings) -> tuple[Bridge, IPv4Address]:
    """The first seat of a network."""
    return bridge_of(network.subnet, 0), address_of(network.subnet, 0, 0)


async def kill(engine: Engine, container: str) -> None:
    """Send SIGKILL to a container that runs."""
    await engine.ask(engine.docker.containers.container(container).kill())


async def ended(engine: Engine, container: str) -> ContainerState:
    await engine.ask(engine.docker.containers.container(container).wait())
    state = await containers.inspect(engine, container)
    assert state is not None
    return state


async def last_lines_of(engine: Engine, spec: ContainerSpec) -> str:
    """Run the container to its end and return what it said."""
    container = await containers.start(engine, spec)
    await ended(engine, container)
    return await containers.last_lines(engine, container)
