"""What a tenant waits from `POST` to the first answer of the example app, and what an idle platform holds in memory."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path

import pytest

from tests.bench.machine import machine
from tests.git_server import GitServer
from tests.server_process import REPOSITORY, ServerProcess, docker, running

EXAMPLE = REPOSITORY / "scripts/example_app"
IDLE_SECONDS = 5  # after which nothing of the deploys runs any more
MEBIBYTE_IN_KIB = 1024


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_first_deploy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where, timings = await machine(), []
    async with GitServer(tmp_path / "git") as git, running() as server:
        # A line that no build before this one had: its packages are installed anew.
        await git.publish("example", _example(f"# {uuid.uuid4()}\n", "Cold"))
        timings.append(f"cold: {await _first_answer(server, f'{git.url}/example.git', 'Cold'):.1f} s")
        await git.publish("example", _example("", "Warm up"))
        await _first_answer(server, f"{git.url}/example.git", "Warm up")
        await git.publish("example", _example("", "Warm"))
        timings.append(f"warm: {await _first_answer(server, f'{git.url}/example.git', 'Warm'):.1f} s")
        await asyncio.sleep(IDLE_SECONDS)
        memory = await _idle_memory(server)
    with capsys.disabled():
        print(f"\nPOST to first answer of the Flask example: {', '.join(timings)}; {where}")
        print("Idle memory (PSS): " + ", ".join(f"{name} {mib} MiB" for name, mib in memory.items()))


def _example(requirement: str, greeting: str) -> dict[str, bytes | str]:
    files = {
        str(path.relative_to(EXAMPLE)): path.read_text() for path in EXAMPLE.rglob("*") if path.is_file()
    }
    files["requirements.txt"] += requirement
    files["app.py"] = files["app.py"].replace("Hello from Flask", greeting)
    return {**files}


async def _first_answer(server: ServerProcess, url: str, name: str) -> float:
    """Seconds until a visitor reads the page that was just pushed. The page is asked for all the time."""
    began = time.monotonic()
    await server.create(url, name, memory_mb=256)
    slug = name.lower().replace(" ", "-")

    async def answers() -> bool:
        status, text = await server.visit(slug)
        return status == 200 and name in text

    await server.until(answers, 300, f"{name} answers")
    return time.monotonic() - began


async def _idle_memory(server: ServerProcess) -> dict[str, int]:
    assert server.process is not None
    postgres = [pid for pid in _children(server.process.pid) if _name(pid).startswith("postgres")]
    ours = f"label=io.stackyn.installation={server.installation}"
    ingress = (
        await docker("ps", "-q", "--filter", ours, "--filter", "label=io.stackyn.role=ingress")
    ).split()
    state = json.loads(await docker("inspect", *ingress))[0]["State"]
    return {
        "server": _pss([server.process.pid]),
        "PostgreSQL": _pss([pid for parent in postgres for pid in _with_children(parent)]),
        "ingress": _pss(_with_children(state["Pid"])),  # below the engine's init
    }


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _with_children(pid: int) -> list[int]:
    return [pid, *_children(pid)]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()


def _pss(pids: list[int]) -> int:
    """Return the processes' proportional set size, in MiB."""
    lines = (Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() for pid in pids)
    kib = sum(int(line.split()[1]) for text in lines for line in text if line.startswith("Pss:"))
    return round(kib / MEBIBYTE_IN_KIB)
