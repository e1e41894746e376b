"""What scripts/run and the others find out about the machine, with what a fresh Debian has."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.server_process import REPOSITORY


@asynccontextmanager
async def engine_that_says(folder: Path, status: str) -> AsyncIterator[str]:
    """A socket that answers every request with a status; yields its DOCKER_HOST."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nOK".encode())
        writer.close()

    path = folder / "engine.sock"
    async with await asyncio.start_unix_server(answer, path):
        yield f"unix://{path}"


async def engine_answers(folder: Path, docker_host: str) -> bool:
    """Ask machine.sh, on a machine that has the usual programs but no `docker`."""
    programs = folder / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "mkdir", "timeout"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    asking = await asyncio.create_subprocess_exec(
        *("bash", "-c", f". {REPOSITORY}/scripts/machine.sh; engine_answers"),
        env={
            "PATH": str(programs),
            "PYTHON": sys.executable,
            "DOCKER_HOST": docker_host,
            "STACKYN_STATE": str(folder / "state"),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asking.communicate()
    assert output == b""
    return asking.returncode == 0


@pytest.mark.parametrize(("status", "is_there"), [("200 OK", True), ("503 Service Unavailable", False)])
async def test_engine_is_found_without_the_docker_program(
    tmp_path: Path, status: str, is_there: bool
) -> None:
    async with engine_that_says(tmp_path, status) as docker_host:
        assert await engine_answers(tmp_path, docker_host) is is_there


@pytest.mark.parametrize("docker_host", ["unix:///nobody/listens.sock", "tcp://127.0.0.1:2375"])
async def test_no_engine_is_found_where_none_is(tmp_path: Path, docker_host: str) -> None:
    assert not await engine_answers(tmp_path, docker_host)
